"""Runs a child with the agent aboard and the hooks switchable, as the benchmarks need it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainbottleneck.collect import boot

PRELUDE = """
import json, sys, time, torch
from _trainbottleneck_agent import CONFIG, WATCH, install
def on():
    install.install(torch, CONFIG, WATCH)
def off():
    install.SESSION.hooks.undo()
now = time.perf_counter_ns
"""


def run(code: str, ranks: int = 1, variables: Mapping[str, str] = MappingProxyType({})) -> Any:
    """Return the JSON that ``code`` prints last, run behind ``PRELUDE`` with the agent booted, with ``variables``.

    Of several ``ranks``, which meet through the file ``MEET``, rank 0 prints.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = boot.make(Path(folder), launcher=False)
        environment = dict(os.environ, PYTHONPATH=str(place), MEET=f"file://{folder}/meet", **variables)
        others = [_other(code, environment, rank, ranks) for rank in range(1, ranks)]
        environment |= {"RANK": "0", "WORLD_SIZE": str(ranks)} if ranks > 1 else {}
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + code],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for other in others:
            other.wait(60)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def _other(code: str, environment: dict[str, str], rank: int, ranks: int) -> subprocess.Popen[bytes]:
    """Return a rank other than the first, started."""
    environment = {**environment, "RANK": str(rank), "WORLD_SIZE": str(ranks)}
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + code], env=environment, stdout=subprocess.DEVNULL
    )
