"""Which passes over loaders train and which evaluate, told by the forwards that follow, and which loaders are new."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..model.span import Flag, Kind, Spans

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def evaluating_fetches(spans: Spans, outer: Bools, evaluates: Bools) -> Bools:
    """Return the requests and iterator starts of passes most of whose batches go into evaluating forwards.

    A pass, not a loader: the training set is often evaluated too. Passes that serve no forward at all follow
    the other passes of their loader.

    Args:
        spans: By start, outer before inner.
        outer: Outermost forwards, bool, shape (n,).
        evaluates: Those of them that only evaluate, bool, shape (n,).
    """
    feeding = np.zeros(len(spans), bool)
    asks = np.flatnonzero(np.isin(spans.kind, (Kind.NEXT, Kind.ITER)))
    forwards = np.flatnonzero(outer)
    if not len(asks) or not len(forwards):
        return feeding
    group, loader = _passes(spans.where(asks))
    following = np.searchsorted(forwards, asks)
    known = (
        (following < len(forwards)) & (spans.kind[asks] == Kind.NEXT) & (spans.flags[asks] & Flag.STOP == 0)
    )
    votes = np.where(evaluates[forwards[np.minimum(following, len(forwards) - 1)]], 1, -1) * known
    by_pass = np.bincount(group, votes, minlength=len(loader))
    by_loader = np.bincount(loader, np.sign(by_pass))
    feeding[asks] = np.where(by_pass == 0, by_loader[loader], by_pass)[group] > 0
    return feeding


def _passes(asks: Spans) -> tuple[Ints, Ints]:
    """Return the pass each request belongs to, shape (n,), and the loader of each pass (both counted from 0)."""
    _, loader = np.unique(asks.b, return_inverse=True)
    order = np.argsort(loader, kind="stable")
    begins = asks.kind[order] == Kind.ITER
    begins |= np.diff(loader[order], prepend=-1) != 0
    group = np.empty(len(asks), np.int64)
    group[order] = np.cumsum(begins) - 1
    return group, loader[order][begins]


def first_passes(spans: Spans) -> Bools:
    """Return which spans start the first pass ever over their loader, whatever it served.

    Loaders are told apart by numbers that the agent counts up, never by addresses, which Python gives out again.
    What is kept of a long run holds every start of a pass.

    Args:
        spans: By start.
    """
    first = np.zeros(len(spans), bool)
    starts = np.flatnonzero(spans.kind == Kind.ITER)
    _, places = np.unique(spans.b[starts], return_index=True)
    first[starts[places]] = True
    return first


def training_loaders(spans: Spans, feeding: Bools) -> frozenset[int]:
    """Return the loaders that served batches to training."""
    served = (spans.kind == Kind.NEXT) & (spans.flags & Flag.STOP == 0) & ~feeding
    return frozenset(int(number) for number in np.unique(spans.b[served]))
