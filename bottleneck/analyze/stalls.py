"""What stops training now and then: checkpoints, evaluation, logging, garbage collection."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..model.span import Flag, Kind, Spans
from .phases import COLUMN
from .timeline import Timeline
from .values import Values

Ints = npt.NDArray[np.int64]
_FULL, _ASKED_FOR = 2, 2  # what a and b of a collection say (agent/stalls)
_MOSTLY_FULL, _OFTEN = 0.9, 0.05  # of the time, and per step


def analyse(timeline: Timeline, values: Values) -> None:
    """Give ``checkpoint.*``, ``evaluation.*``, ``logging.calls`` and ``gc.*``."""
    spans = timeline.trainer.spans
    steps = int(np.count_nonzero(timeline.detailed))
    inside = spans.where(_in_detail(timeline, spans.start_ns))
    _checkpoints(timeline, inside, steps, values)
    _evaluations(timeline, steps, values)
    logs = int(np.count_nonzero(inside.kind == Kind.LOG))
    if steps:
        values.give("logging.calls", logs / steps, logs)
    _collections(inside, steps, values)


def _in_detail(timeline: Timeline, times_ns: Ints) -> npt.NDArray[np.bool_]:
    """Return which of ``times_ns`` lie in steps after warm-up of which every span was kept."""
    row = np.searchsorted(timeline.bounds_ns, times_ns, side="right") - 1
    known = (row >= 0) & (row < len(timeline.totals))
    kept: npt.NDArray[np.bool_] = known & timeline.detailed[np.clip(row, 0, len(timeline.totals) - 1)]
    return kept


def _checkpoints(timeline: Timeline, inside: Spans, steps: int, values: Values) -> None:
    """Give count, time, size and cadence of checkpoints.

    Model, optimizer and scheduler often go into files of their own: what is saved in one step is one checkpoint.
    """
    saves = inside.where(inside.kind == Kind.SAVE)
    count = len(np.unique(np.searchsorted(timeline.bounds_ns, saves.start_ns, side="right")))
    values.give("checkpoint.count", count, count)
    if not count:
        return
    values.give("checkpoint.each_s", float((saves.end_ns - saves.start_ns).sum()) / count / 1e9, count)
    values.give("checkpoint.interval_steps", steps / count, count)
    if saves.a.sum() > 0:
        values.give("checkpoint.bytes", float(saves.a.sum()) / count, count)


def _evaluations(timeline: Timeline, steps: int, values: Values) -> None:
    """Give count, time and cadence of evaluations among the measured steps."""
    evaluation = timeline.evaluation
    count = int(np.count_nonzero(_in_detail(timeline, evaluation.start_ns)))
    values.give("evaluation.count", count, count)
    if not count:
        return
    total = float(timeline.totals[timeline.detailed, COLUMN["evaluation"]].sum()) / 1e9
    values.give("evaluation.each_s", total / count, count)
    values.give("evaluation.interval_steps", steps / count, count)
    flags = timeline.trainer.spans.flags[evaluation.forwards]
    if len(flags):
        values.give("evaluation.grad_frac", float(np.mean(flags & Flag.GRAD != 0)), len(flags))


def _collections(inside: Spans, steps: int, values: Values) -> None:
    """Give how often and how long the interpreter collects garbage, and how much of that the script asked for."""
    found = inside.where(inside.kind == Kind.GC)
    seconds = (found.end_ns - found.start_ns) / 1e9
    if steps:
        values.give("gc.collections", len(found) / steps, len(found))
    if len(found):
        values.give("gc.max_s", float(seconds.max()), len(found))
    if seconds.sum() > 0:
        full = float(seconds[found.a == _FULL].sum() / seconds.sum())
        values.give("gc.full_frac", full, len(found))
        values.give("gc.asked_frac", _asked_frac(found, full, len(found) / max(1, steps)), len(found))


def _asked_frac(found: Spans, full_frac: float, per_step: float) -> float:
    """Return the share of the time of full collections that the script asked for.

    Where the interpreter does not tell, by how often they come: left alone, it spends most of its time on young
    objects, and a loop in its steady state sees a full collection every hundreds of steps.
    """
    known = found.where(found.b > 0)
    seconds = (known.end_ns - known.start_ns) / 1e9
    if not seconds.sum():
        return float(full_frac > _MOSTLY_FULL and per_step > _OFTEN)
    return float(seconds[known.b == _ASKED_FOR].sum() / seconds.sum())
