"""Runs scripts/recording.py: the agent's recorder in a process without torch."""

from __future__ import annotations

import sys
from pathlib import Path

from trainbottleneck.collect import boot
from trainbottleneck.store import RUN_FILE, SCHEMA, write_json

from .runs import Ran, execute

SCRIPT = Path(__file__).parent / "scripts" / "recording.py"


def new_run(folder: Path) -> Path:
    """Return a new run folder with a boot folder and a run file, as they are while a script runs."""
    run = folder / "run"
    run.mkdir()
    boot.make(run, launcher=False)
    write_json(run / RUN_FILE, {"schema": SCHEMA, "run_id": "run", "outcome": {"start_ns": 1}})
    return run


def command(run: Path, what: str) -> list[str]:
    """Return the command line that does ``what`` with a recorder on ``run``."""
    return [sys.executable, str(SCRIPT), str(run / "boot"), str(run), what]


def record(folder: Path, what: str) -> Ran:
    """Do ``what`` in a child whose current folder is ``folder/work``; its run folder is in the result."""
    run = new_run(folder)
    work = folder / "work"
    work.mkdir()
    done = execute(command(run, what), work)
    return Ran(done.code, done.out, done.err, run)
