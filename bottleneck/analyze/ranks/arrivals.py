"""Who came when to the same collective: waiting for a peer and moving bytes as two numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...model.ranks import Calls, RankDigest
from .clocks import Clock

Floats = npt.NDArray[np.float64]

_MOST_COLUMNS = 8192  # of one group: twice what a rank keeps, as ranks may have kept other calls
_LEAST_COLUMNS = 5
_LATEST = 1 << 24  # number of a call, after the stride: a larger one is damage


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """The calls of one group that its ranks have in common.

    Attributes:
        group: Its key.
        members: Which digests take part, indices.
        arrival_s: When each came, on one clock, from the first call on, shape (members, calls); NaN where a rank
            has no record of a call.
        wait_s: How long each then waited for the last to come, same shape.
        exposed_s: How long the call held it in all, same shape.
    """

    group: str
    members: npt.NDArray[np.int64]
    arrival_s: Floats
    wait_s: Floats
    exposed_s: Floats

    def waits_per_rank(self) -> Floats:
        """Return the share of each member's exposed time that it waited for peers, shape (members,)."""
        exposed = np.nansum(self.exposed_s, axis=1)
        waited = np.nansum(self.wait_s, axis=1)
        shares: Floats = np.divide(waited, exposed, out=np.zeros_like(waited), where=exposed > 0)
        return shares


def meetings(digests: Sequence[RankDigest], clocks: Mapping[str, Clock]) -> tuple[Meeting, ...]:
    """Return the meetings of every group of which at least two ranks were recorded, largest group first."""
    by_group: dict[str, list[int]] = {}
    for number, digest in enumerate(digests):
        for group in digest.calls:
            by_group.setdefault(group, []).append(number)
    found = []
    for group, members in by_group.items():
        if len(members) > 1:
            meeting = _meet(group, members, digests, clocks)
            if meeting is not None:
                found.append(meeting)
    return tuple(sorted(found, key=lambda meeting: -len(meeting.members)))


def _meet(
    group: str, members: Sequence[int], digests: Sequence[RankDigest], clocks: Mapping[str, Clock]
) -> Meeting | None:
    """Return the calls that all members have, or nearly all where one died; None for too few."""
    calls = [digests[member].calls[group] for member in members]
    columns = _common([one.column for one in calls])
    if len(columns) < _LEAST_COLUMNS:
        return None
    base = min(float(one.arrival_ns[0]) for one in calls if len(one.column))
    shape = (len(members), len(columns))
    arrival, block, end = (np.full(shape, np.nan) for _ in range(3))
    for row, (member, one) in enumerate(zip(members, calls, strict=True)):
        at = np.searchsorted(columns, one.column)
        kept = (at < len(columns)) & (columns[np.minimum(at, len(columns) - 1)] == one.column)
        _fill(row, at[kept], kept, one, clocks[digests[member].key], base, arrival, block, end)
    last = np.nanmax(arrival, axis=0)
    exposed = end - block
    wait = np.clip(last - block, 0.0, exposed)
    start = np.nanmin(arrival)
    return Meeting(
        group=group,
        members=np.array(members, np.int64),
        arrival_s=(arrival - start) / 1e9,
        wait_s=wait / 1e9,
        exposed_s=exposed / 1e9,
    )


def _fill(
    row: int,
    at: npt.NDArray[np.int64],
    kept: npt.NDArray[np.bool_],
    one: Calls,
    clock: Clock,
    base: float,
    arrival: Floats,
    block: Floats,
    end: Floats,
) -> None:
    """Write one rank's calls into the matrices, on the common clock and relative to ``base``."""
    for matrix, times in ((arrival, one.arrival_ns), (block, one.block_ns), (end, one.end_ns)):
        matrix[row, at] = clock.to_reference(times[kept]) - base


def _common(columns: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Return the calls that nine in ten ranks have, of few ranks all but one, and never fewer than two."""
    values, counts = _count(columns)
    needed = max(2, min(len(columns) - 1, int(0.9 * len(columns))))
    return values[counts >= needed][:_MOST_COLUMNS]


def _count(columns: Sequence[npt.NDArray[np.int64]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return each call and how many ranks have it, one rank at a time: memory stays that of one."""
    counts: npt.NDArray[np.int64] = np.zeros(0, np.int64)
    for own in columns:
        own = own[(own >= 0) & (own < _LATEST)]
        if len(own) and own[-1] >= len(counts):
            counts = np.concatenate((counts, np.zeros(int(own[-1]) + 1 - len(counts), np.int64)))
        counts[own] += 1
    values = np.flatnonzero(counts)
    return values, counts[values]
