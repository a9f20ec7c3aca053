"""What stops training now and then: checkpoints, evaluation, logging, garbage collection, compilation."""

from __future__ import annotations

import numpy as np

from ..model.span import Flag, Kind, Spans
from .phases import COLUMN
from .timeline import Timeline
from .values import Values


def analyse(timeline: Timeline, values: Values) -> None:
    """Give ``checkpoint.*``, ``evaluation.*``, ``logging.calls``, ``gc.*`` and ``compile.*``."""
    spans = timeline.trainer.spans
    start, end = timeline.measured
    inside = spans.where((spans.start_ns >= start) & (spans.start_ns < end))
    steps = int(np.count_nonzero(timeline.steady.settled))
    _checkpoints(inside, steps, values)
    _evaluations(timeline, start, end, steps, values)
    logs = int(np.count_nonzero(inside.kind == Kind.LOG))
    if steps:
        values.give("logging.calls", logs / steps, logs)
    _collections(inside, steps, values)
    _compilation(timeline, values)


def _checkpoints(inside: Spans, steps: int, values: Values) -> None:
    """Give count, time, size and cadence of checkpoints; files saved within one step's reach are one."""
    saves = inside.where(inside.kind == Kind.SAVE)
    values.give("checkpoint.count", _runs(saves), len(saves))
    count = _runs(saves)
    if not count:
        return
    values.give("checkpoint.each_s", float((saves.end_ns - saves.start_ns).sum()) / count / 1e9, count)
    values.give("checkpoint.interval_steps", steps / count, count)
    if saves.a.sum() > 0:
        values.give("checkpoint.bytes", float(saves.a.sum()) / count, count)


def _runs(saves: Spans) -> int:
    """Return how many checkpoints the saves make: model, optimizer and scheduler often go into files of their own."""
    if not len(saves):
        return 0
    gaps = saves.start_ns[1:] - saves.end_ns[:-1]
    longest = (saves.end_ns - saves.start_ns).max()
    return 1 + int(
        np.count_nonzero(gaps > max(longest, 50_000_000))
    )  # 50 ms: no step fits between files of one


def _evaluations(timeline: Timeline, start: int, end: int, steps: int, values: Values) -> None:
    """Give count, time and cadence of evaluations among the measured steps."""
    evaluation = timeline.evaluation
    kept = (evaluation.start_ns >= start) & (evaluation.start_ns < end)
    count = int(np.count_nonzero(kept))
    values.give("evaluation.count", count, count)
    if not count:
        return
    total = float(timeline.totals[timeline.steady.settled, COLUMN["evaluation"]].sum()) / 1e9
    values.give("evaluation.each_s", total / count, count)
    values.give("evaluation.interval_steps", steps / count, count)
    flags = timeline.trainer.spans.flags[evaluation.forwards]
    if len(flags):
        values.give("evaluation.grad_frac", float(np.mean(flags & Flag.GRAD != 0)), len(flags))


def _collections(inside: Spans, steps: int, values: Values) -> None:
    """Give how often and how long the interpreter collects garbage."""
    found = inside.where(inside.kind == Kind.GC)
    seconds = (found.end_ns - found.start_ns) / 1e9
    if steps:
        values.give("gc.collections", len(found) / steps, len(found))
    if len(found):
        values.give("gc.max_s", float(seconds.max()), len(found))
        values.give("gc.full_frac", float(seconds[found.a == 2].sum() / seconds.sum()), len(found))


def _compilation(timeline: Timeline, values: Values) -> None:
    """Give what torch.compile cost since the first step began, and what of that came after warm-up."""
    spans = timeline.trainer.spans
    found = spans.where((spans.kind == Kind.COMPILE) & (spans.end_ns > timeline.bounds_ns[0]))
    seconds = (found.end_ns - found.start_ns) / 1e9
    values.give("compile.used", float(len(found) > 0))
    values.give("compile.frames", len(found), len(found))
    if not len(found):
        values.give("compile.late", 0)
        return
    whole = float(timeline.bounds_ns[-1] - timeline.bounds_ns[0]) / 1e9
    values.give("compile.total_s", float(seconds.sum()), len(found))
    values.give("compile.run_frac", float(seconds.sum()) / whole, len(found))
    start, end = timeline.measured
    late = found.start_ns >= start
    values.give("compile.late", int(np.count_nonzero(late)), len(found))
    if end > start:
        values.give("compile.late_frac", float(seconds[late].sum()) * 1e9 / (end - start), len(found))
