"""Sets of time as sorted, disjoint intervals, in integer nanoseconds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def disjoint(start: Ints, end: Ints) -> tuple[Ints, Ints, Ints]:
    """Return intervals cut so that none overlaps another, and which one each piece is of.

    Where several overlap, the one that began first keeps the time. Empty pieces are left out.

    Args:
        start: Sorted, shape (n,).
        end: No smaller than ``start``, shape (n,).
    """
    if not len(start):
        return start, end, np.zeros(0, np.int64)
    before = np.concatenate(([start[0]], np.maximum.accumulate(end)[:-1]))
    begin = np.maximum(start, before)
    kept = np.flatnonzero(begin < end)
    return begin[kept], end[kept], kept


def union(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Return the union of intervals in any order, neighbours that touch joined."""
    order = np.argsort(start, kind="stable")
    begin, stop, _ = disjoint(start[order], end[order])
    if not len(begin):
        return begin, stop
    opens = np.concatenate(([True], begin[1:] > stop[:-1]))
    closes = np.concatenate((opens[1:], [True]))
    return begin[opens], stop[closes]


def gaps(start: Ints, end: Ints, first: int, last: int) -> tuple[Ints, Ints]:
    """Return what disjoint intervals leave of the time from ``first`` to ``last``."""
    begin = np.concatenate(([first], end))
    stop = np.concatenate((start, [last]))
    begin, stop = np.clip(begin, first, last), np.clip(stop, first, last)
    kept = begin < stop
    return begin[kept], stop[kept]


def containing(start: Ints, end: Ints, times: Ints) -> Ints:
    """Return for each time the disjoint interval [start, end) it lies in, -1 for none."""
    if not len(start):
        return np.full(len(times), -1, np.int64)
    before = np.searchsorted(start, times, side="right") - 1
    inside = (before >= 0) & (times < end[np.maximum(before, 0)])
    return np.where(inside, before, -1)


def covered(start: Ints, end: Ints, bounds: Ints) -> Ints:
    """Return how much of each stretch between ``bounds`` disjoint intervals cover, shape (len(bounds) - 1,)."""
    if not len(start):
        return np.zeros(len(bounds) - 1, np.int64)
    so_far = np.concatenate(([0], np.cumsum(end - start)))
    place = np.searchsorted(start, bounds, side="right")
    last = np.maximum(place - 1, 0)
    inside = np.where(place > 0, np.minimum(bounds, end[last]) - start[last], 0)
    until: Ints = so_far[last] * (place > 0) + inside
    return np.diff(until)


def totals(edges: Ints, column: Ints, bounds: Ints, width: int) -> Ints:
    """Return the time in each column between ``bounds``, shape (len(bounds) - 1, width).

    Args:
        edges: Edges of stretches that join, shape (n + 1,).
        column: Column of each stretch, shape (n,); what lies outside of them counts nowhere.
        bounds: Increasing.
        width: Number of columns.
    """
    found = np.zeros((len(bounds) - 1, width), np.int64)
    for number in range(width):
        mine = column == number
        found[:, number] = covered(edges[:-1][mine], edges[1:][mine], bounds)
    return found
