"""Used in a child: the agent as a run would have it, and overrides one after the other, each undone after use."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = "_trainbottleneck_agent"
AGENT = Path(__file__).resolve().parents[2] / "bottleneck" / "agent"


class Told:
    """Stands in for a recorder and sorts what an override told it."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.events: list[dict[str, Any]] = []

    def event(self, kind: str, **data: Any) -> None:
        assert kind == "override"
        self.events.append(data)

    def failed(self, hook: str, error: Exception) -> bool:
        raise error

    def __getitem__(self, state: str) -> list[str]:
        return [event["detail"] for event in self.events if event["state"] == state]

    @property
    def lines(self) -> list[tuple[str, int]]:
        return [(Path(event["file"]).name, event["line"]) for event in self.events]


def load_agent() -> str:
    """Put a copy of the agent on the path under its own name, as the boot folder does; return the folder."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copytree(AGENT, Path(folder) / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    sys.path.insert(0, folder)
    __import__(PACKAGE).CONFIG["run"] = folder
    return folder


@contextlib.contextmanager
def changed(name: str, **settings: float) -> Iterator[Told]:
    """Apply one override as ``boot`` and ``install`` would; undo its patches afterwards."""
    import torch

    package = sys.modules[PACKAGE]
    overrides = __import__(f"{PACKAGE}.overrides", fromlist=["find"])
    hooks = sys.modules[PACKAGE + ".hooks"].Hooks()
    told = Told(package.CONFIG["run"])
    tell = overrides.Tell(told, name)
    made = overrides._boot(name, settings)
    if isinstance(made, str):
        tell.refused(made, "", 0)
    else:
        overrides._install(made, torch, hooks, tell)
    try:
        yield told
    finally:
        hooks.undo()
        tell.close()
