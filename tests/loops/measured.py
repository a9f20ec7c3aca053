"""Runs a script under the command and returns what the analyses say of each training process, beside the truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from trainbottleneck.analyze.phases import COLUMNS
from trainbottleneck.analyze.timeline import Timeline, build
from trainbottleneck.analyze.trainer import Trainer, find_trainers
from trainbottleneck.model.record import RunRecord
from trainbottleneck.model.span import Kind
from trainbottleneck.store import load

SCRIPTS = Path(__file__).parent / "scripts"
# Once in hundreds of rank processes gloo's own threads abort one while its interpreter ends, with all the training
# behind it (pytorch/pytorch pull request 179291 describes it, unmended in torch 2.13). Only that is run again.
ABORT = "terminate called without an active exception"
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


class Rank(NamedTuple):
    """A rank that has ended."""

    pid: int
    code: int
    out: str
    err: str


def two_ranks(argv: Sequence[str], cwd: Path, timeout_s: float, **variables: str) -> list[Rank]:
    """Run ``argv`` as ranks 0 and 1 with one thread an operator; both are gone when this returns."""
    shared = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", **variables}
    ranks = [
        subprocess.Popen(
            argv,
            cwd=cwd,
            env={**shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=timeout_s) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    return [Rank(rank.pid, rank.returncode, *told) for rank, told in zip(ranks, said, strict=True)]


def truths(folder: Path) -> dict[str, Any]:
    """Return what the processes wrote, by name."""
    return {path.stem: json.loads(path.read_text()) for path in (folder / "truth").glob("*.json")}


def diagnose(target: Sequence[str], folder: Path, *options: str) -> Ran:
    """Run ``bottleneck diagnose [options] target``."""
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / "run"
    command = [sys.executable, "-m", "trainbottleneck", "diagnose", "--no-stacks", "--no-experiments"]
    command += ["-o", str(run)]
    done = execute([*command, *options, *target], folder)
    if done.returncode and ABORT in done.stderr and not folder.name.startswith("again"):
        return diagnose(target, folder / "again", *options)
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
    counts = {what: (true, _count(timeline, what)) for what, true in truth["counts"].items()}
    phases = {phase for step in truth["seconds"] for phase in step}
    same = len(truth["seconds"]) == len(timeline.totals)
    seconds = {phase: _seconds(timeline, truth["seconds"], phase) for phase in sorted(phases)} if same else {}
    return timeline, seconds, counts


def _seconds(timeline: Timeline, so_far: Sequence[Mapping[str, float]], phase: str) -> tuple[float, float]:
    """Return the seconds of a phase, true and measured, over the steps compared.

    One step in eight, where the two differ most, is left out of phases that most steps have: the operating system
    takes the core away now and then, beside a sleep that the truth times.
    """
    true = np.diff([step.get(phase, 0.0) for step in so_far], prepend=0.0)
    found = timeline.totals[:, COLUMNS.index(phase)] / 1e9
    order = np.argsort(np.abs(found - true))
    if np.count_nonzero(true > 0) > len(true) / 2:
        order = order[: len(order) - len(order) // 8]
    return float(true[order].sum()), float(found[order].sum())


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
