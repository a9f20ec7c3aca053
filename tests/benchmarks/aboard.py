"""Runs a child with the agent aboard and the hooks switchable, as the benchmarks need it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
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


def run(code: str) -> Any:
    """Return the JSON that ``code`` prints last, run behind ``PRELUDE`` with the agent booted."""
    with tempfile.TemporaryDirectory() as folder:
        place = boot.make(Path(folder), launcher=False)
        environment = dict(os.environ, PYTHONPATH=str(place))
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + code],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])
