"""When evaluation runs and which loaders train, without any mark in the script."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.span import Flag, Kind, Spans
from .loaders import evaluating_fetches, training_loaders
from .nesting import outermost, within

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_RUNNING = 10  # what recurs in ten steps running belongs to the step; evaluation is rarer


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What evaluates, and when.

    Attributes:
        start_ns: Starts of the evaluations, int64, shape (m,).
        end_ns: Their ends, shape (m,).
        forwards: Indices into the trainer's spans of forwards that only evaluate, shape (k,).
        fetches: Indices of the requests and iterator starts that feed them, shape (j,).
        loaders: Numbers of the loaders that feed training.
    """

    start_ns: Ints
    end_ns: Ints
    forwards: Ints
    fetches: Ints
    loaders: frozenset[int]

    def covers(self, times_ns: Ints) -> Bools:
        """Return which of ``times_ns`` lie in an evaluation, bool, same shape."""
        if not len(self.start_ns):
            return np.zeros(len(times_ns), bool)
        before = np.searchsorted(self.start_ns, times_ns, side="right") - 1
        inside: Bools = (before >= 0) & (times_ns < self.end_ns[np.maximum(before, 0)])
        return inside


def find_evaluation(spans: Spans, ends_ns: Ints) -> Evaluation:
    """Return the evaluations in a trainer's spans.

    A forward trains where a backward follows before the next batch is asked for: that holds for accumulation,
    for two optimizers, for teachers without gradients, and for loops that fetch ahead. A forward without that
    excuse evaluates, and so does one for inference that does not recur in every step.

    Args:
        spans: By start, outer before inner.
        ends_ns: Ends of the steps, increasing, shape (steps,).
    """
    passes = outermost(spans, Kind.BACKWARD)
    outer = (spans.kind == Kind.FORWARD) & ~within(spans, passes)
    fetches = spans.kind == Kind.NEXT
    cycle = np.searchsorted(ends_ns, spans.start_ns, side="right")
    unfed = outer & (_next_start(spans, fetches) < _next_start(spans, passes))
    unfed &= ~_fed(spans, outer, passes, fetches)
    trains = unfed & (spans.flags & Flag.GRAD != 0)
    evaluates = unfed & ~_recurring(trains, cycle, len(ends_ns))
    evaluates |= _inference(spans, outer, cycle, len(ends_ns))
    feeding = evaluating_fetches(spans, outer, evaluates)
    start, end = _intervals(spans, evaluates, feeding)
    return Evaluation(
        start_ns=start,
        end_ns=end,
        forwards=np.flatnonzero(evaluates),
        fetches=np.flatnonzero(feeding),
        loaders=training_loaders(spans, feeding),
    )


def _next_start(spans: Spans, wanted: Bools) -> Ints:
    """Return for every span the start of the next wanted span after it; the largest int where there is none."""
    starts = np.append(spans.start_ns[wanted], np.iinfo(np.int64).max)
    found: Ints = starts[np.searchsorted(starts[:-1], spans.start_ns, side="right")]
    return found


def _fed(spans: Spans, outer: Bools, passes: Bools, fetches: Bools) -> Bools:
    """Return the forwards a backward belongs to although a batch is fetched in between (loops that prefetch).

    That is the last forward with gradients before each backward, and its like since the last fetch or backward.
    """
    likely = np.flatnonzero(outer & (spans.flags & Flag.GRAD != 0))
    fed = np.zeros(len(spans), bool)
    if len(likely) and passes.any():
        last = np.searchsorted(spans.start_ns[likely], spans.start_ns[passes]) - 1
        stretch = np.cumsum(fetches | passes)[likely]
        fed[likely] = np.isin(stretch, stretch[last[last >= 0]])
    return fed


def _inference(spans: Spans, outer: Bools, cycle: Ints, steps: int) -> Bools:
    """Return the forwards for inference (no gradients, or evaluation mode) that are no part of every step.

    Evaluation mode counts for modules that also train: a frozen network is in that mode all the time. An evaluation
    without batches of its own is believed only where something ran in evaluation mode: without gradients but in
    training mode, it may be a rare part of training (sampling, the rollouts of reinforcement learning).
    """
    training = outer & (spans.flags & Flag.TRAINING != 0)
    mode = outer & ~training & np.isin(spans.name, np.unique(spans.name[training]))
    inference = outer & ((spans.flags & Flag.GRAD == 0) | mode)
    found: Bools = inference & ~_recurring(inference, cycle, steps)
    found &= np.isin(cycle, np.unique(cycle[found & mode]))
    return found


def _recurring(candidates: Bools, cycle: Ints, steps: int) -> Bools:
    """Return those candidates that are part of the step: in each cycle the last few, as many as always recur.

    That many is what each of ten consecutive cycles has at least, with this one at either end of the ten.
    """
    found = np.zeros(len(candidates), bool)
    if steps < 3:  # too few to tell what recurs
        return found
    counts = np.bincount(cycle[candidates], minlength=steps)[:steps]
    width = min(_RUNNING, steps)
    least = np.lib.stride_tricks.sliding_window_view(counts, width).min(axis=1)
    place = np.arange(steps)
    ending, beginning = np.clip(place - width + 1, 0, steps - width), np.clip(place, 0, steps - width)
    usual = np.append(np.maximum(least[ending], least[beginning]), 0)
    mine = np.flatnonzero(candidates)
    where = np.minimum(cycle[mine], steps)
    last_of_cycle = np.searchsorted(where, where, side="right")
    found[mine] = last_of_cycle - np.arange(len(mine)) <= usual[where]
    return found


def _intervals(spans: Spans, evaluates: Bools, feeding: Bools) -> tuple[Ints, Ints]:
    """Return starts and ends of runs of evaluating spans that nothing of the training interrupts."""
    marks = evaluates | feeding
    kinds = np.isin(spans.kind, (Kind.NEXT, Kind.ITER, Kind.FORWARD, Kind.BACKWARD, Kind.OPTIMIZER))
    trains = kinds & ~marks & ~within(spans, marks) & ~_between(spans, evaluates, marks)
    marked = np.flatnonzero(marks)
    first = np.flatnonzero(np.diff(np.cumsum(trains)[marked], prepend=-1))
    start: Ints = spans.start_ns[marked[first]]
    if not len(first):
        return start, start
    end: Ints = np.maximum.reduceat(spans.end_ns[marked], first)
    end[:-1] = np.minimum(end[:-1], start[1:])
    return start, end


def _between(spans: Spans, evaluates: Bools, marks: Bools) -> Bools:
    """Return the batches and forwards that lie between two spans of one evaluation: they belong to it.

    A loss that is a module of its own stays in training mode; a training loader may serve an evaluation.
    """
    soft = ((spans.kind == Kind.NEXT) & (spans.flags & Flag.STOP == 0)) | (spans.kind == Kind.FORWARD)
    hard = np.isin(spans.kind, (Kind.ITER, Kind.NEXT, Kind.BACKWARD, Kind.OPTIMIZER)) & ~soft
    known = np.flatnonzero(marks | hard)
    if not len(known):
        return np.zeros(len(spans), bool)
    place = np.searchsorted(known, np.arange(len(spans)))
    before, after = known[np.maximum(place - 1, 0)], known[np.minimum(place, len(known) - 1)]
    between: Bools = soft & ~marks & (place > 0) & (place < len(known)) & evaluates[before] & evaluates[after]
    return between
