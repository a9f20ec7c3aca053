"""Which loaders train and which evaluate, and when evaluation runs, without any mark in the script."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.span import Flag, Kind, Spans

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What evaluates, and when.

    Attributes:
        start_ns: Starts of the evaluations, int64, shape (m,).
        end_ns: Their ends, shape (m,).
        forwards: Indices into the trainer's spans of forwards that only evaluate, shape (k,).
        loaders: Numbers of the loaders that feed training.
    """

    start_ns: Ints
    end_ns: Ints
    forwards: Ints
    loaders: frozenset[int]


def find_evaluation(spans: Spans) -> Evaluation:
    """Return the evaluations in a trainer's spans (ordered by start).

    A forward trains where a backward follows before the next batch is asked for: that holds for accumulation,
    for two optimizers, for teachers without gradients, and for loops that fetch ahead. Where a loop has no
    loader, a forward without gradients evaluates unless every step has it.
    """
    forwards, fetches = spans.kind == Kind.FORWARD, _fetches(spans)
    outer = forwards & ~_inside(spans, Kind.BACKWARD)
    next_backward = _next_start(spans, spans.kind == Kind.BACKWARD)
    next_fetch = _next_start(spans, fetches)
    evaluates = outer & (next_fetch < next_backward) & ~_fed_backward(spans, outer, fetches)
    if not fetches.any():
        evaluates |= outer & (spans.flags & Flag.GRAD == 0) & ~_in_every_cycle(spans, outer)
    loaders = _training_loaders(spans, fetches, outer, evaluates)
    own = np.isin(spans.kind, (Kind.NEXT, Kind.ITER)) & ~np.isin(spans.b, list(loaders))
    return _intervals(spans, evaluates, own if loaders else np.zeros(len(spans), bool), loaders)


def _fed_backward(spans: Spans, outer: Bools, fetches: Bools) -> Bools:
    """Return the forwards a backward belongs to although a batch is fetched in between (loops that prefetch).

    That is the last forward with gradients before each backward, and its like since the same fetch.
    """
    likely = np.flatnonzero(outer & (spans.flags & Flag.GRAD != 0))
    passes = spans.start_ns[spans.kind == Kind.BACKWARD]
    fed = np.zeros(len(spans), bool)
    if len(likely) and len(passes):
        last = np.searchsorted(spans.start_ns[likely], passes) - 1
        batch = np.searchsorted(spans.start_ns[fetches], spans.start_ns[likely])
        fed[likely] = np.isin(batch, np.unique(batch[last[last >= 0]]))
    return fed


def _fetches(spans: Spans) -> Bools:
    """Return which spans ask for a batch."""
    asks: Bools = spans.kind == Kind.NEXT
    return asks


def _inside(spans: Spans, kind: Kind) -> Bools:
    """Return which spans lie inside a span of ``kind`` (forwards inside backward are recomputation)."""
    outer = spans.where(spans.kind == kind)
    if not len(outer):
        return np.zeros(len(spans), bool)
    before = np.searchsorted(outer.start_ns, spans.start_ns, side="right") - 1
    inside: Bools = (
        (before >= 0) & (spans.end_ns <= outer.end_ns[np.maximum(before, 0)]) & (spans.kind != kind)
    )
    return inside


def _next_start(spans: Spans, wanted: Bools) -> Ints:
    """Return for every span the start of the next wanted span after it; the largest int where there is none."""
    starts = np.append(spans.start_ns[wanted], np.iinfo(np.int64).max)
    found: Ints = starts[np.searchsorted(starts[:-1], spans.start_ns, side="right")]
    return found


def _in_every_cycle(spans: Spans, outer: Bools) -> Bools:
    """Return which gradient-free forwards belong to the step: a teacher runs between most pairs of steps."""
    free = outer & (spans.flags & Flag.GRAD == 0)
    stepped = spans.kind == Kind.OPTIMIZER
    steps = spans.end_ns[stepped if stepped.any() else spans.kind == Kind.BACKWARD]
    if len(steps) < 3 or not free.any():
        return np.zeros(len(spans), bool)
    cycle = np.searchsorted(steps, spans.start_ns[free])
    # 0.9: evaluation rarer than every step leaves more than a tenth of the cycles empty
    everywhere = len(np.unique(cycle)) >= 0.9 * (len(steps) - 1)
    return free if everywhere else np.zeros(len(spans), bool)


def _training_loaders(spans: Spans, fetches: Bools, outer: Bools, evaluates: Bools) -> frozenset[int]:
    """Return the loaders most of whose batches go into a training forward (the next outermost one)."""
    training: set[int] = set()
    where = np.flatnonzero(outer)
    served = fetches & (spans.flags & Flag.STOP == 0)
    for loader in np.unique(spans.b[served]):
        mine = np.flatnonzero(served & (spans.b == loader))
        following = np.searchsorted(where, mine)
        following = where[following[following < len(where)]]
        if len(following) and np.mean(evaluates[following]) < 0.5:
            training.add(int(loader))
    return frozenset(training)


def _intervals(spans: Spans, evaluates: Bools, fed: Bools, loaders: frozenset[int]) -> Evaluation:
    """Return runs of evaluating spans that no training span interrupts, as intervals."""
    marks = evaluates | fed
    trains = np.isin(spans.kind, (Kind.NEXT, Kind.ITER, Kind.FORWARD, Kind.BACKWARD, Kind.OPTIMIZER)) & ~marks
    trains &= ~_inside_marked(spans, marks)
    order = np.flatnonzero(marks | trains)
    marked = marks[order]
    if not marked.any():
        none = np.empty(0, np.int64)
        return Evaluation(start_ns=none, end_ns=none, forwards=none, loaders=loaders)
    edges = np.diff(np.concatenate(([False], marked, [False])).astype(np.int8))
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    ends = np.array([spans.end_ns[order[i : j + 1]].max() for i, j in zip(first, last, strict=True)])
    return Evaluation(
        start_ns=spans.start_ns[order[first]],
        end_ns=ends.astype(np.int64),
        forwards=np.flatnonzero(evaluates),
        loaders=loaders,
    )


def _inside_marked(spans: Spans, marks: Bools) -> Bools:
    """Return which spans lie inside a marked span: they neither mark nor interrupt."""
    outer = spans.where(marks)
    if not len(outer):
        return np.zeros(len(spans), bool)
    ends = np.maximum.accumulate(outer.end_ns)
    before = np.searchsorted(outer.start_ns, spans.start_ns, side="left") - 1
    inside: Bools = (before >= 0) & (spans.end_ns <= ends[np.maximum(before, 0)])
    return inside
