"""Makes the boot folder: a ``sitecustomize`` with the run's settings baked in, and the agent beside it.

Settings lie in the folder, not in environment variables, so launchers that filter the environment still carry
them as long as PYTHONPATH survives.
"""

from __future__ import annotations

import os
import py_compile
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..agent import PACKAGE
from ..model.trial import Change

_SITECUSTOMIZE = '''"""Boots the agent of one measured run, then whatever sitecustomize would have run without it."""
import sys


def _boot():
    import os
    import time

    here = {here!r}
    config = {config!r}
    config["boot_ns"] = time.perf_counter_ns()
    if not os.environ.get("BOTTLENECK_DISABLE") and sys.version_info >= (3, 9):
        try:
            import {package} as agent

            agent.boot(config)
        except Exception as error:
            try:
                with open(config["run"] + "/agent-errors.log", "a") as log:
                    log.write("boot: %r\\n" % (error,))
            except OSError:
                pass
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    sys.path_importer_cache.pop(here, None)


def _chain():
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("sitecustomize")
    if spec is None or spec.loader is None or spec.origin == __file__:
        return
    module = type(sys)("sitecustomize")
    for name in ("__file__", "__loader__", "__spec__", "__cached__"):
        setattr(module, name, {{"__file__": spec.origin, "__loader__": spec.loader,
                               "__spec__": spec, "__cached__": spec.cached}}[name])
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_boot()
_chain()
'''


def make(run: Path, launcher: bool, settings: Mapping[str, Any] | None = None) -> Path:
    """Write the boot folder of ``run`` and return its path.

    Args:
        run: The run directory, absolute.
        launcher: The target is a launcher, whose ranks must end with code 0 when we stop them.
        settings: More for the agent: what to change ("overrides"), how to run a trial ("trial").
    """
    boot = run / "boot"
    agent = boot / PACKAGE
    source = Path(__file__).resolve().parent.parent / "agent"
    left_out = ["__pycache__", "replay"]  # what is called again is called elsewhere, when the run has ended
    if not (settings and settings.get("overrides")):
        left_out.append("overrides")
    shutil.copytree(source, agent, ignore=shutil.ignore_patterns(*left_out), copy_function=shutil.copyfile)
    config = {"run": str(run), "launcher": launcher, "command_pid": os.getpid(), **(settings or {})}
    text = _SITECUSTOMIZE.format(here=str(boot), config=config, package=PACKAGE)
    (boot / "sitecustomize.py").write_text(text, encoding="utf-8")
    _compile(boot)
    return boot


def overrides(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Return ``changes`` as the agent's settings name them."""
    return [{"override": one.override, "settings": dict(one.settings)} for one in changes]


def _compile(boot: Path) -> None:
    """Compile ahead for interpreters like ours: it spares the training some 30 ms at its start."""
    for file in boot.rglob("*.py"):
        py_compile.compile(str(file), doraise=False, quiet=2)
