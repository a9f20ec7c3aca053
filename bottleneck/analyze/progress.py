"""Whether enough has been measured, asked while the training runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..model.record import ProcessRecord, Stacks
from ..model.report import PHASES
from ..model.span import Flag, Kind
from ..verify.plan import RESOURCE_OF, STALLS, Pace
from .nesting import outermost
from .observed import observed
from .phases import COLUMN
from .timeline import Timeline, build, prefetched
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
        pace: What the plan of the experiments rests on.
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
    pace: Pace = field(default_factory=Pace)


def look(processes: Sequence[ProcessRecord], stacks: Sequence[Stacks]) -> Progress:
    """Return how far the measurement has come; steps after the experiments began only count as updates."""
    trainers = find_trainers(observed(processes))
    timeline = build(trainers[0], stacks) if trainers else None
    if timeline is None:
        return Progress(trainer_pid=trainers[0].process.pid if trainers else None)
    timed = timeline.steady.timed
    phases = timeline.phase_ns()[timed].astype(float)
    steps = phases.sum(axis=1)
    seconds = timeline.step_ns[timed] / 1e9
    largest, share, half = _largest(phases, steps)
    now = next(p for p in processes if p.key == timeline.trainer.process.key)
    updates, rate = _updates(now, timeline.trainer.thread)
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
        pace=_pace(timeline, len(trainers)),
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


def _updates(process: ProcessRecord, thread: int) -> tuple[int, float]:
    """Return outermost optimizer steps so far, and per second over the last ten; where there is none, backward passes.

    The agent counts alike (``agent/by_hand.py``).
    """
    spans = process.spans.where(process.spans.thread == thread)
    ends = spans.end_ns[spans.kind == Kind.OPTIMIZER]
    if not len(ends):
        ordered = spans.where(np.lexsort((-spans.end_ns, spans.start_ns)))
        ends = np.sort(ordered.end_ns[outermost(ordered, Kind.BACKWARD)])
    recent = ends[-11:]
    elapsed = (int(recent[-1]) - int(recent[0])) / 1e9 if len(recent) else 0.0
    return len(ends), (len(recent) - 1) / elapsed if elapsed > 0 else 0.0


def _pace(timeline: Timeline, ranks: int) -> Pace:
    """Return what the plan of the experiments rests on."""
    mean = timeline.mean_phases()
    whole = float(mean.sum())
    steps = timeline.steady.settled
    if whole <= 0 or not steps.any():
        return Pace(ranks=ranks)
    spans = timeline.trainer.spans
    updates = int(np.count_nonzero(spans.kind == Kind.OPTIMIZER)) / len(timeline.totals)
    batches = float(np.median(timeline.micro_batches[steps])) or 1.0
    return Pace(
        step_s=whole,
        updates=max(updates, 1.0),
        ahead=math.ceil(prefetched(timeline.trainer) / max(batches, 1.0)),
        shares={arm: float(mean[COLUMN[phase]]) / whole for phase, arm in RESOURCE_OF.items()},
        every=_every(timeline),
        epochs_share=_epochs_share(timeline),
        loads=bool(timeline.evaluation.loaders),
        ranks=ranks,
        anomaly=any(event.data.get("anomaly") for event in timeline.trainer.process.told("torch")),
    )


def _every(timeline: Timeline) -> dict[str, int]:
    """Return the usual steps from one checkpoint, evaluation and start of an epoch to the next."""
    kept = timeline.detailed
    happens = {name: np.flatnonzero((timeline.totals[:, COLUMN[name]] > 0) & kept) for name in STALLS}
    spans = timeline.trainer.spans
    first = _of_training(timeline) & (spans.kind == Kind.NEXT) & (spans.flags & Flag.FIRST != 0)
    happens["input"] = np.unique(np.searchsorted(timeline.bounds_ns, spans.start_ns[first], side="right"))
    return {
        name: max(1, round(float(np.median(np.diff(steps)))))
        for name, steps in happens.items()
        if len(steps) >= 2
    }


def _of_training(timeline: Timeline) -> npt.NDArray[np.bool_]:
    """Return which spans ask a loader for training batches."""
    mine = np.isin(timeline.trainer.spans.b, list(timeline.evaluation.loaders))
    mine[timeline.evaluation.fetches] = False
    return mine


def _epochs_share(timeline: Timeline) -> float:
    """Return the share of the settled steps spent on the ends and starts of epochs, the first start left out."""
    spans, (start, end) = timeline.trainer.spans, timeline.measured
    edge = (spans.kind == Kind.NEXT) & (spans.flags & (Flag.FIRST | Flag.STOP) != 0)
    edge = (edge | (spans.kind == Kind.ITER)) & _of_training(timeline)
    edge &= (spans.start_ns >= start) & (spans.start_ns < end)
    return float((spans.end_ns - spans.start_ns)[edge].sum()) / max(1, end - start)
