"""What trials need of a run, and how their results get into its report; outside the layers, as it needs them all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .analyze.progress import look
from .analyze.ranks.condense import Condenser
from .collect.trials import Known, NotMeasurable
from .diagnosis import diagnose
from .model.record import RunRecord
from .model.report import Report
from .model.span import Kind
from .model.trial import Trial
from .rulebook import Rulebook
from .store import load
from .verify.warm_up import plan_steps

_UNLIMITED_S = 1e6  # eleven days: what one process takes is asked here, not whether it fits
_LEAST_START_S = 1.0  # where the record does not tell when it began to train: importing torch takes that long


def read(run: Path, book: Rulebook) -> tuple[RunRecord, Report]:
    """Return the record in ``run`` and the report on it.

    Raises:
        RecordError: There is none.
    """
    record = load(run, Condenser())
    return record, diagnose(record, book)


def known(record: RunRecord, folder: Path) -> Known:
    """Return what the record tells about how to run trials of its script, started in ``folder``.

    Raises:
        NotMeasurable: No training step was timed in it.
    """
    seen = look(record.processes, record.stacks)
    pace = seen.pace
    if not pace.step_s > 0:
        raise NotMeasurable("no training step was timed in this run, so there is nothing to compare")
    updates = max(1.0, pace.updates)
    return Known(
        step_s=pace.step_s / updates,
        start_s=_start_s(record, seen.trainer_pid),
        queue=round(pace.ahead * updates),
        every=tuple(sorted({round(steps * updates) for steps in pace.every.values()})),
        folder=folder,
    )


def arm_s(about: Known) -> float:
    """Return roughly how long one process of a trial takes."""
    planned = plan_steps(
        about.step_s, fixed_s=about.start_s, budget_s=_UNLIMITED_S, queue=about.queue, every=about.every
    )
    return planned.seconds if not isinstance(planned, str) else about.start_s


def _start_s(record: RunRecord, trainer_pid: int | None) -> float:
    """Return seconds from the start of the run to the end of its first optimizer step."""
    for process in record.processes:
        ends = process.spans.end_ns[process.spans.kind == Kind.OPTIMIZER]
        if process.pid == trainer_pid and len(ends):
            return max(_LEAST_START_S, (float(np.min(ends)) - record.outcome.start_ns) / 1e9)
    return _LEAST_START_S


def scratch(run: Path) -> Path:
    """Return a folder for the processes of trials below ``run`` that does not exist yet."""
    number = 1
    while (path := run / f"trials-{number}").exists():
        number += 1
    return path


def tidy(run: Path) -> None:
    """Remove the folders of trials that hold nothing any more; what failed is kept for the user to look at."""
    for path in run.glob("trials-*"):
        if path.is_dir() and not any(path.iterdir()):
            shutil.rmtree(path, ignore_errors=True)


def merged(before: Sequence[Trial], now: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return all trials, newer ones in place of older ones of the same changes."""
    known = [one for one in now if one.pairs or one.state != "UNDECIDED"]
    fresh = [one.changes for one in known]
    return (*(one for one in before if one.changes not in fresh), *known)
