"""The training of one process as steps and phases: what every later analysis starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..model.record import Stacks, SystemSample
from ..model.report import PHASES
from ..model.span import Kind, Spans
from .boundaries import Boundaries, find_boundaries, first_start
from .device_time import DeviceTime
from .evaluation import Evaluation, find_evaluation
from .nesting import outermost, within
from .phases import COLUMN, Segments, segment, with_stops
from .steady import Steady, find_steady
from .trainer import Trainer

Ints = npt.NDArray[np.int64]
_STALLS = ("checkpoint", "evaluation")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Steps of one trainer.

    Attributes:
        trainer: Whose steps.
        evaluation: When it evaluated, and which loaders train.
        boundaries: Where steps end.
        bounds_ns: Edges of the steps, int64, shape (steps + 1,).
        totals: ns per step and column of ``phases.COLUMNS``, shape (steps, columns).
        segments: The whole thread's time, from its first to its last span.
        steady: Which steps count.
        passes: Backward passes per step (recomputation within one not counted), shape (steps,).
        micro_batches: Batches per step: passes, all those within one call of an optimizer (a closure's) as one,
            shape (steps,).
        device: What the device did, where a profiler told; the phases are then the device's while it was busy.
    """

    trainer: Trainer
    evaluation: Evaluation
    boundaries: Boundaries
    bounds_ns: Ints
    totals: Ints
    segments: Segments
    steady: Steady
    passes: Ints
    micro_batches: Ints
    device: DeviceTime | None = None

    @property
    def step_ns(self) -> Ints:
        """Wall time of each step without our own pauses and without what was not kept, ns, shape (steps,)."""
        wall: Ints = self.phase_ns().sum(axis=1)
        return wall

    @property
    def measured(self) -> tuple[int, int]:
        """Start and end of the steps after warm-up, monotonic ns."""
        kept = np.flatnonzero(self.steady.settled)
        if not len(kept):
            return int(self.bounds_ns[0]), int(self.bounds_ns[-1])
        return int(self.bounds_ns[kept[0]]), int(self.bounds_ns[-1])

    @property
    def detailed(self) -> npt.NDArray[np.bool_]:
        """Steps after warm-up of which every span was kept, bool, shape (steps,)."""
        kept: npt.NDArray[np.bool_] = self.steady.settled & (self.totals[:, COLUMN["gap"]] == 0)
        return kept

    def phase_ns(self) -> Ints:
        """Return ns per step and phase of ``PHASES``; compilation joins ``other``; pauses and gaps are left out."""
        phases: Ints = self.totals[:, : len(PHASES)].copy()
        phases[:, COLUMN["other"]] += self.totals[:, COLUMN["compile"]]
        return phases

    def mean_phases(self) -> npt.NDArray[np.float64]:
        """Return the mean step as seconds per phase, shape (len(PHASES),).

        Stalls that come now and then (checkpoints, evaluation) are spread over all settled steps kept in detail, so
        that one inside a sampled window is not lost; everything else rests on the timed steps alone.
        """
        phases = self.phase_ns()
        mean = phases[self.steady.timed].mean(axis=0) if self.steady.timed.any() else phases.mean(axis=0)
        if self.detailed.any():
            for name in _STALLS:
                mean[COLUMN[name]] = phases[self.detailed, COLUMN[name]].mean()
        result: npt.NDArray[np.float64] = mean / 1e9
        return result


def build(
    trainer: Trainer,
    stacks: Sequence[Stacks] = (),
    queue: int | None = None,
    stops: Sequence[tuple[int, int]] = (),
) -> Timeline | None:
    """Return the steps of ``trainer``, or None where it took none.

    Args:
        trainer: The process and its spans.
        stacks: Windows in which stacks were sampled.
        queue: Batches its loader keeps ahead, where known better than from its settings.
        stops: When the process stood still (``stopped``), (start, end) in ns.
    """
    spans = trainer.spans
    boundaries = find_boundaries(spans)
    if boundaries is None:
        return None
    evaluation = find_evaluation(spans, boundaries.ends_ns)
    first = first_start(spans, int(boundaries.ends_ns[0]), evaluation)
    bounds = np.unique(np.concatenate(([first], boundaries.ends_ns)).astype(np.int64))
    if len(bounds) < 2:
        return None
    segments = segment(spans, evaluation, int(spans.start_ns.min()), int(spans.end_ns.max()) + 1)
    segments = with_stops(segments, stops)
    totals = segments.totals(bounds)
    windows = [(window.start_ns, window.end_ns) for window in stacks]
    compiled = totals[:, COLUMN["compile"]] > 0
    steady = find_steady(totals, bounds, prefetched(trainer) if queue is None else queue, windows, compiled)
    return Timeline(
        trainer=trainer,
        evaluation=evaluation,
        boundaries=boundaries,
        bounds_ns=bounds,
        totals=totals,
        segments=segments,
        steady=steady,
        passes=backward_passes(spans, bounds),
        micro_batches=micro_batches(spans, bounds),
    )


def stopped(samples: Sequence[SystemSample], pid: int) -> tuple[tuple[int, int], ...]:
    """Return when the process ``pid`` stood still by a signal or a debugger, (start, end) in ns, as samples saw it."""
    windows: list[tuple[int, int]] = []
    start = None
    for sample in samples:
        still = bool(sample.processes.get(pid, {}).get("stopped"))
        if still and start is None:
            start = sample.time_ns
        elif not still and start is not None:
            windows.append((start, sample.time_ns))
            start = None
    return tuple(windows)


def backward_passes(spans: Spans, bounds: Ints) -> Ints:
    """Return how many backward passes begin in each step."""
    counts, _ = np.histogram(spans.start_ns[outermost(spans, Kind.BACKWARD)], bounds)
    return counts.astype(np.int64)


def micro_batches(spans: Spans, bounds: Ints) -> Ints:
    """Return how many batches each step learns from.

    Each has a backward pass, but a closure that an optimizer calls several times (L-BFGS) sees one batch again.
    """
    passes, calls = outermost(spans, Kind.BACKWARD), outermost(spans, Kind.OPTIMIZER)
    again = passes & within(spans, calls)
    call = np.searchsorted(spans.start_ns[calls], spans.start_ns[again], side="right")
    first = np.flatnonzero(again)[np.flatnonzero(np.diff(call, prepend=-1))]
    kept = passes & ~again
    kept[first] = True
    counts, _ = np.histogram(spans.start_ns[kept], bounds)
    return counts.astype(np.int64)


def prefetched(trainer: Trainer) -> int:
    """Return how many batches the training loader keeps ahead, at most 64."""
    settings: list[Any] = [event.data for event in trainer.process.told("loader")]
    ahead = [int(s.get("workers") or 0) * int(s.get("prefetch_factor") or 2) for s in settings]
    return min(64, max(ahead, default=0))
