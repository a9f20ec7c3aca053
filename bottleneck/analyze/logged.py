"""Numbers that the script logged: its loss, its accuracy, by the name it gave them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.record import ProcessRecord
from ..model.span import Flag, Kind, Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """What was logged under one name, in order of time.

    Attributes:
        values: What was logged, float64, shape (n,); may hold NaN and infinity, as a diverging loss does.
        updates: Optimizer steps taken before each, int64, shape (n,).
        unread: Values that lay on a device and were not read.
    """

    values: npt.NDArray[np.float64]
    updates: npt.NDArray[np.int64]
    unread: int = 0


def logged(processes: Iterable[ProcessRecord]) -> dict[str, Logged]:
    """Return what was logged, by name; of several processes that log under one name, the first's."""
    found: dict[str, Logged] = {}
    for process in processes:
        rows = process.spans.of(Kind.METRIC)
        for number in np.unique(rows.name):
            name = rows.names[int(number)]
            if name and name not in found:
                found[name] = _one(rows.where(rows.name == number), process.spans)
    return found


def _one(rows: Spans, spans: Spans) -> Logged:
    """Return what ``rows`` of one name hold."""
    rows = rows.where(np.argsort(rows.start_ns, kind="stable"))
    unread = (rows.flags & Flag.UNREAD) > 0
    kept = rows.where(~unread)
    return Logged(
        values=kept.a.astype(np.int64).view(np.float64),
        updates=_updates(spans, kept.start_ns),
        unread=int(unread.sum()),
    )


def _updates(spans: Spans, times_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return how many optimizer steps had ended by each time; those in what was not kept are counted too."""
    steps, gaps = spans.of(Kind.OPTIMIZER), spans.of(Kind.GAP)
    ends = np.concatenate((steps.end_ns, gaps.end_ns))
    counts = np.concatenate((np.ones(len(steps), np.int64), gaps.a))
    order = np.argsort(ends, kind="stable")
    total = np.concatenate(([0], np.cumsum(counts[order])))
    return np.asarray(total[np.searchsorted(ends[order], times_ns, side="right")], dtype=np.int64)
