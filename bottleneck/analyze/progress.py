"""Whether enough has been measured, asked while the training runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..model.record import ProcessRecord, Stacks
from ..model.report import PHASES
from .phases import COLUMN
from .timeline import Timeline, build
from .trainer import find_trainers
from .values import ratio_interval

_LOST = ("data_wait", "h2d", "communication", "sync", "checkpoint", "evaluation", "logging", "gc", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """The state of the measurement.

    Attributes:
        trainer_pid: The process that trains, None while there is none.
        seen: Steps seen.
        timed: Steps the statistics would rest on.
        timed_s: Their wall time.
        step_s: Median step time, 0 while unknown.
        largest: The phase outside the model that takes most time.
        share: Its share of the step.
        half_width: Half the 95 % interval of that share; infinite while unknown.
        updates: Most optimizer steps any rank has taken, for a common end of all ranks.
        updates_per_s: How fast they come.
    """

    trainer_pid: int | None = None
    seen: int = 0
    timed: int = 0
    timed_s: float = 0.0
    step_s: float = 0.0
    largest: str = ""
    share: float = 0.0
    half_width: float = float("inf")
    updates: int = 0
    updates_per_s: float = 0.0


def look(processes: Sequence[ProcessRecord], stacks: Sequence[Stacks]) -> Progress:
    """Return how far the measurement has come."""
    trainers = find_trainers(processes)
    timeline = build(trainers[0], stacks) if trainers else None
    if timeline is None:
        return Progress(trainer_pid=trainers[0].process.pid if trainers else None)
    timed = timeline.steady.timed
    phases = timeline.phase_ns()[timed].astype(float)
    steps = phases.sum(axis=1)
    seconds = timeline.step_ns[timed] / 1e9
    largest, share, half = _largest(phases, steps)
    updates, rate = _updates(timeline)
    return Progress(
        trainer_pid=timeline.trainer.process.pid,
        seen=len(timeline.totals),
        timed=int(np.count_nonzero(timed)),
        timed_s=float(seconds.sum()),
        step_s=float(np.median(seconds)) if len(seconds) else 0.0,
        largest=largest,
        share=share,
        half_width=half,
        updates=updates,
        updates_per_s=rate,
    )


def _largest(
    phases: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    steps: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> tuple[str, float, float]:
    """Return the phase that costs most outside the model, its share and half its interval."""
    if not len(steps) or steps.sum() <= 0:
        return "", 0.0, float("inf")
    sums = {name: float(phases[:, COLUMN[name]].sum()) for name in _LOST if name in PHASES}
    name = max(sums, key=lambda key: sums[key])
    interval = ratio_interval(phases[:, COLUMN[name]], steps)
    half = (interval[1] - interval[0]) / 2 if interval else float("inf")
    return name, sums[name] / float(steps.sum()), half


def _updates(timeline: Timeline) -> tuple[int, float]:
    """Return outermost optimizer steps so far, and per second over the last ten steps."""
    from ..model.span import Kind

    spans = timeline.trainer.spans
    count = int(np.count_nonzero(spans.kind == Kind.OPTIMIZER))
    recent = timeline.bounds_ns[-11:]
    elapsed = (int(recent[-1]) - int(recent[0])) / 1e9
    per_step = count / max(1, len(timeline.totals))
    return count, (len(recent) - 1) * per_step / elapsed if elapsed > 0 else 0.0
