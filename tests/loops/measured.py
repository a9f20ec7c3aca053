"""Runs a script under the command and returns what the analyses say of each training process, beside the truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from trainbottleneck.analyze.phases import COLUMNS
from trainbottleneck.analyze.timeline import Timeline, build
from trainbottleneck.analyze.trainer import Trainer, find_trainers
from trainbottleneck.model.record import RunRecord
from trainbottleneck.model.span import Kind
from trainbottleneck.store import load

SCRIPTS = Path(__file__).parent / "scripts"
TIMEOUT_S = 240  # ends a test that hangs, on the slowest machine


@dataclass(frozen=True)
class Ran:
    """A finished run: exit code, output, record, and the truths its processes wrote, by name."""

    code: int
    out: str
    err: str
    run: Path
    truths: Mapping[str, Mapping[str, Any]]

    @property
    def record(self) -> RunRecord:
        """Return the record."""
        return load(self.run)

    @property
    def report(self) -> dict[str, Any]:
        """Return report.json."""
        return dict(json.loads((self.run / "report.json").read_text(encoding="utf-8")))


def execute(argv: Sequence[str], folder: Path, cwd: Path = SCRIPTS) -> subprocess.CompletedProcess[str]:
    """Run ``argv`` with one thread an operator, offline; truths go to ``folder``/truth."""
    (folder / "truth").mkdir()
    environment = {
        **os.environ,
        "TRUTH": str(folder / "truth"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(SCRIPTS),
    }
    return subprocess.run(
        argv,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        start_new_session=True,
    )


def truths(folder: Path) -> dict[str, Any]:
    """Return what the processes wrote, by name."""
    return {path.stem: json.loads(path.read_text()) for path in (folder / "truth").glob("*.json")}


def diagnose(target: Sequence[str], folder: Path, *options: str) -> Ran:
    """Run ``bottleneck diagnose [options] target``."""
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / "run"
    command = [sys.executable, "-m", "trainbottleneck", "diagnose", "--no-stacks", "-o", str(run)]
    done = execute([*command, *options, *target], folder)
    return Ran(done.returncode, done.stdout, done.stderr, run, truths(folder))


def trainer_of(ran: Ran, name: str) -> Trainer:
    """Return the training process that wrote the truth called ``name``."""
    own = [p for p in ran.record.processes if p.pid == ran.truths[name]["pid"]]
    (trainer,) = find_trainers(own)
    return trainer


def compare(
    ran: Ran, name: str
) -> tuple[Timeline, dict[str, tuple[float, float]], dict[str, tuple[int, int]]]:
    """Return the timeline of ``name``, its seconds by phase and its counts, each as (truth, measured)."""
    timeline = build(trainer_of(ran, name))
    assert timeline is not None
    truth = ran.truths[name]
    sums = dict(zip(COLUMNS, (timeline.totals.sum(axis=0) / 1e9).tolist(), strict=True))
    seconds = {phase: (true, sums[phase]) for phase, true in truth["seconds"].items()}
    return timeline, seconds, {what: (true, _count(timeline, what)) for what, true in truth["counts"].items()}


def _count(timeline: Timeline, what: str) -> int:
    """Return how often something happened in steps; files saved in one step are one checkpoint."""
    if what == "steps":
        return len(timeline.totals)
    if what == "micro_batches":
        return int(timeline.micro_batches.sum())
    spans, (first, last) = timeline.trainer.spans, timeline.bounds_ns[[0, -1]]
    saves = spans.start_ns[spans.kind == Kind.SAVE]
    starts = {"evaluations": timeline.evaluation.start_ns, "checkpoints": saves}[what]
    inside = starts[(starts >= first) & (starts < last)]
    steps = np.searchsorted(timeline.bounds_ns, inside, side="right")
    return len(np.unique(steps)) if what == "checkpoints" else len(inside)
