"""Gives every nanosecond of the training thread to exactly one phase."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.report import PHASES
from ..model.span import Kind, Spans
from .evaluation import Evaluation

Ints = npt.NDArray[np.int64]

_PHASE_OF: Mapping[int, str] = {
    Kind.NEXT: "data_wait",
    Kind.ITER: "data_wait",
    Kind.FORWARD: "forward",
    Kind.BACKWARD: "backward",
    Kind.OPTIMIZER: "optimizer",
    Kind.SCALER: "optimizer",
    Kind.ZERO_GRAD: "optimizer",
    Kind.TRANSFER: "h2d",
    Kind.SYNC: "sync",
    Kind.COLLECTIVE: "communication",
    Kind.SAVE: "checkpoint",
    Kind.LOG: "logging",
    Kind.GC: "gc",
}
COLUMNS = (
    *PHASES,
    "compile",
    "pause",
    "gap",
    "stopped",
)  # the last four are no phases: they exclude a step, or part of it
COLUMN: Mapping[str, int] = {name: number for number, name in enumerate(COLUMNS)}
_OTHER, _EVALUATION = COLUMN["other"], COLUMN["evaluation"]
_KEEPS_IN_EVALUATION = [COLUMN[name] for name in ("checkpoint", "gc", "pause", "gap", "evaluation")]
_OF_KIND = np.full(256, _OTHER, np.int64)
for _kind, _phase in _PHASE_OF.items():
    _OF_KIND[_kind] = COLUMN[_phase]
_OF_KIND[Kind.COMPILE], _OF_KIND[Kind.PAUSE], _OF_KIND[Kind.GAP] = (
    COLUMN["compile"],
    COLUMN["pause"],
    COLUMN["gap"],
)


def column_of(kinds: npt.NDArray[np.uint8]) -> Ints:
    """Return the column that spans of these kinds belong to, shape (n,)."""
    columns: Ints = _OF_KIND[kinds]
    return columns


def _merged(some: Ints, more: Ints) -> Ints:
    """Return the distinct values of both in order: sorting beats ``np.unique``, which hashes."""
    values = np.sort(np.concatenate((some, more)), kind="stable")  # both are sorted: merging them is linear
    return values[np.concatenate(([True], np.diff(values) > 0))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Stretches of time in order, each in one phase; they join without gap or overlap.

    Attributes:
        edges_ns: Their edges, int64, shape (n + 1,).
        column: Index into ``COLUMNS``, int64, shape (n,).
    """

    edges_ns: Ints
    column: Ints

    def totals(self, bounds_ns: Ints) -> Ints:
        """Return ns per column between consecutive ``bounds_ns``, shape (len(bounds_ns) - 1, len(COLUMNS)).

        Each row sums to the distance of its bounds.
        """
        edges = _merged(self.edges_ns, bounds_ns)
        middle = np.searchsorted(self.edges_ns, edges[:-1], side="right") - 1
        inside = (middle >= 0) & (middle < len(self.column))
        column = np.where(inside, self.column[np.clip(middle, 0, max(0, len(self.column) - 1))], _OTHER)
        row = np.searchsorted(bounds_ns, edges[:-1], side="right") - 1
        kept = (row >= 0) & (row < len(bounds_ns) - 1)
        sums = np.zeros((len(bounds_ns) - 1, len(COLUMNS)), np.int64)
        np.add.at(sums, (row[kept], column[kept]), np.diff(edges)[kept])
        return sums


def with_stops(segments: Segments, windows: Sequence[tuple[int, int]]) -> Segments:
    """Return the segments with the column "stopped" in ``windows``, (start, end) in ns, apart and in order."""
    first, last = int(segments.edges_ns[0]), int(segments.edges_ns[-1])
    inside = [(max(start, first), min(end, last)) for start, end in windows]
    inside = [(start, end) for start, end in inside if start < end]
    if not inside:
        return segments
    edges = _merged(segments.edges_ns, np.array(inside, np.int64).ravel())
    column = segments.column[np.searchsorted(segments.edges_ns, edges[:-1], side="right") - 1].copy()
    for start, end in inside:
        column[(edges[:-1] >= start) & (edges[:-1] < end)] = COLUMN["stopped"]
    return Segments(edges_ns=edges, column=column)


def segment(spans: Spans, evaluation: Evaluation, start_ns: int, end_ns: int) -> Segments:
    """Return the segments of a trainer's spans (ordered by start, outer first) from ``start_ns`` to ``end_ns``.

    The innermost span decides: a collection inside forward is gc, a forward inside a closure's optimizer step is
    forward. Exceptions: whatever lies in backward is backward (recomputation), and all but checkpoints and gc in
    an evaluation is evaluation.
    """
    edges, columns = _sweep(spans, start_ns, end_ns)
    if len(evaluation.start_ns):
        edges, columns = _overlay(edges, columns, evaluation)
    return Segments(edges_ns=edges, column=columns)


def _sweep(spans: Spans, start_ns: int, end_ns: int) -> tuple[Ints, Ints]:
    """Return edges and columns by walking all starts and ends with a stack of open spans."""
    edges, columns = [start_ns], []
    open_spans: list[tuple[int, int]] = []  # (end, column)
    backward, forward = COLUMN["backward"], COLUMN["forward"]
    now = start_ns

    def advance(to: int) -> None:
        nonlocal now
        if to > now:
            edges.append(to)
            columns.append(open_spans[-1][1] if open_spans else _OTHER)
            now = to

    starts, ends = spans.start_ns.tolist(), spans.end_ns.tolist()
    for start, end, column in zip(starts, ends, _OF_KIND[spans.kind].tolist(), strict=True):
        if end <= start_ns or start >= end_ns:
            continue
        while open_spans and open_spans[-1][0] <= start:
            advance(min(open_spans[-1][0], end_ns))
            open_spans.pop()
        advance(max(start, start_ns))
        if open_spans:
            end = min(end, open_spans[-1][0])  # spans of one thread nest; clip what a clock's grain bent
            if open_spans[-1][1] == backward and column == forward:
                column = backward
        open_spans.append((end, column))
    while open_spans:
        advance(min(open_spans[-1][0], end_ns))
        open_spans.pop()
    advance(end_ns)
    return np.array(edges, np.int64), np.array(columns, np.int64)


def _overlay(edges: Ints, columns: Ints, evaluation: Evaluation) -> tuple[Ints, Ints]:
    """Return the segments cut at the edges of evaluations, what lies inside renamed."""
    cuts = np.concatenate((evaluation.start_ns, evaluation.end_ns))
    cuts = cuts[(cuts > edges[0]) & (cuts < edges[-1])]
    finer = _merged(edges, cuts)
    column = columns[np.searchsorted(edges, finer[:-1], side="right") - 1]
    before = np.searchsorted(evaluation.start_ns, finer[:-1], side="right") - 1
    inside = (before >= 0) & (finer[:-1] < evaluation.end_ns[np.maximum(before, 0)])
    inside &= ~np.isin(column, _KEEPS_IN_EVALUATION)
    return finer, np.where(inside, _EVALUATION, column)
