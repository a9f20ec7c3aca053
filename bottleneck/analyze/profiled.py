"""Steps of a profiled run: marked by the profiler, with the device's time in their phases."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..model.device import DeviceWork
from ..model.span import Kind, Spans
from .boundaries import Boundaries, find_boundaries, first_start
from .device_time import DeviceTime, attribute
from .evaluation import find_evaluation
from .phases import COLUMN, Segments, segment
from .steady import Steady
from .timeline import Timeline, backward_passes, micro_batches
from .trainer import Trainer

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_APART = 0.05  # of a median step: the script does more than that between two profiled steps only on purpose
_LOST = 0.02  # of a step's launches: more work than that missing, and its idle time is not to be trusted
_EMPTY = 0.1  # of a median step: the mark that profile.stop() leaves behind the last one is shorter
ENOUGH = 2  # steps: one alone does not show what recurs
_FIRST = 3  # steps from which the first can be spared


def build_profiled(trainer: Trainer, work: DeviceWork) -> Timeline | None:
    """Return the steps of a profiled ``trainer``, or None where it took none.

    Steps are the profiler's own marks (``ProfilerStep#``), else optimizer steps, else backward passes. Phases are
    the device's where it was busy, else the host's. The first step pays for the profiler's start and is left out
    where three or more were seen.
    """
    spans = trainer.spans
    bounds, whole, definition = _steps(trainer)
    if len(bounds) < 2:
        return None
    evaluation = find_evaluation(spans, bounds[1:])
    start, end = min(int(spans.start_ns.min()), int(bounds[0])), int(spans.end_ns.max()) + 1
    host = segment(spans, evaluation, start, max(end, int(bounds[-1])))
    device: DeviceTime | None = None
    segments = host
    if len(work):
        device = attribute(work, spans, host)
        segments = Segments(edges_ns=device.edges_ns, column=device.column)
    totals = segments.totals(bounds)
    return Timeline(
        trainer=trainer,
        evaluation=evaluation,
        boundaries=Boundaries(ends_ns=bounds[1:], definition=definition),
        bounds_ns=bounds,
        totals=totals,
        segments=segments,
        steady=_steady(totals, whole, _damaged(work, bounds)),
        passes=backward_passes(spans, bounds),
        micro_batches=micro_batches(spans, bounds),
        device=device,
    )


def _steps(trainer: Trainer) -> tuple[Ints, Bools, str]:
    """Return the edges of the steps, which of the stretches between them are steps, and what a step is."""
    marks = trainer.process.spans.of(Kind.MARK)
    if len(marks):
        return _marked(marks)
    found = find_boundaries(trainer.spans)
    if found is None:
        return np.zeros(0, np.int64), np.zeros(0, bool), ""
    evaluation = find_evaluation(trainer.spans, found.ends_ns)
    first = first_start(trainer.spans, int(found.ends_ns[0]), evaluation)
    bounds = np.unique(np.concatenate(([first], found.ends_ns)).astype(np.int64))
    return bounds, np.ones(len(bounds) - 1, bool), found.definition


def _marked(marks: Spans) -> tuple[Ints, Bools, str]:
    """Return the steps between the profiler's marks; what lies between two of them joins the one before it.

    Unless it is long: then the script was doing something else, or a schedule left steps out.
    """
    order = np.argsort(marks.start_ns, kind="stable")
    start, end = marks.start_ns[order], marks.end_ns[order]
    usual = float(np.median(end - start))
    kept = end - start >= _EMPTY * usual
    start, end = start[kept], end[kept]
    following = np.append(start[1:], np.iinfo(np.int64).max)
    apart = following - end > _APART * usual
    edges = np.unique(np.concatenate((start, end[apart])))
    is_step = np.isin(edges[:-1], start)
    return edges, is_step, "one step of the profiler, from one call of `profile.step()` to the next"


def _damaged(work: DeviceWork, bounds: Ints) -> Bools:
    """Return which steps lack device work that the host had launched, bool, shape (steps,)."""
    lost, _ = np.histogram(work.lost_ns, bounds)
    known, _ = np.histogram(work.launch_ns[work.launch_ns >= 0], bounds)
    found: Bools = lost > _LOST * (lost + known)
    return found


def _steady(totals: Ints, whole: Bools, damaged: Bools) -> Steady:
    """Return the steps to rest on."""
    settled = whole.copy()
    first = np.flatnonzero(whole)[:1]
    spared = int(np.count_nonzero(whole)) >= _FIRST
    if spared:
        settled[first] = False
    timed = settled & ~damaged & (totals[:, COLUMN["gap"]] == 0)
    reasons = {
        "first profiled step": int(spared),
        "not between two marks": int(np.count_nonzero(~whole)),
        "device work is missing": int(np.count_nonzero(settled & damaged)),
    }
    if not timed.any():
        timed = settled
    return Steady(settled=settled, timed=timed, excluded={k: v for k, v in reasons.items() if v})
