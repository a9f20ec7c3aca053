"""Which spans lie inside which: spans of one thread nest, ordered by start with the outer first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..model.span import Kind, Spans

Bools = npt.NDArray[np.bool_]


def within(spans: Spans, holders: Bools) -> Bools:
    """Return which spans lie inside one of ``holders`` that stands before them in the order.

    Args:
        spans: Ordered by start, outer before inner.
        holders: Which of them may hold others, bool, shape (n,).
    """
    if not holders.any():
        return np.zeros(len(spans), bool)
    # Of the holders before a span, the one that ends last holds it if any does: all start no later than it.
    reach = np.maximum.accumulate(spans.end_ns[holders])
    before = np.cumsum(holders) - holders - 1
    inside: Bools = (before >= 0) & (spans.end_ns <= reach[np.maximum(before, 0)])
    return inside


def outermost(spans: Spans, kind: Kind) -> Bools:
    """Return which spans are of ``kind`` and in no other span of it."""
    own = spans.kind == kind
    outer: Bools = own & ~within(spans, own)
    return outer
