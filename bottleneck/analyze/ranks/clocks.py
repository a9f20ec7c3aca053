"""Brings the monotonic clocks of several machines onto one, from collectives that end everywhere together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...model.ranks import RankDigest

Floats = npt.NDArray[np.float64]

# Ranks of one boot differ by what setting the wall clock moved it between their starts; two boots by minutes.
_SAME_BOOT_NS = 2_000_000_000
_ASKED = 4  # ranks of a machine whose ends are compared: their median is good enough, and cost stays linear
_LEAST = 4  # common ends that an estimate needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """How a machine's clock goes, seen from the reference machine.

    Attributes:
        offset_ns: Its reading less the reference's, at ``at_ns`` of its own.
        drift: By how much it gains on the reference, a fraction.
        at_ns: See ``offset_ns``.
        error_ns: Half the spread of the ends it was estimated from; 0 on the reference machine, NaN where only
            the wall clocks tell.
    """

    offset_ns: float = 0.0
    drift: float = 0.0
    at_ns: float = 0.0
    error_ns: float = 0.0

    def to_reference(self, times_ns: Floats) -> Floats:
        """Return times of this machine on the reference's clock."""
        return times_ns - (self.offset_ns + self.drift * (times_ns - self.at_ns))


def align(digests: Sequence[RankDigest]) -> dict[str, Clock]:
    """Return the clock of each rank by its key; a machine has one, and the largest machine is the reference."""
    machines = _machines(digests)
    reference = max(machines, key=len, default=[])
    clocks: dict[str, Clock] = {}
    for machine in machines:
        clock = Clock() if machine is reference else _estimate(machine, reference)
        clocks |= dict.fromkeys((digest.key for digest in machine), clock)
    return clocks


def _machines(digests: Sequence[RankDigest]) -> list[list[RankDigest]]:
    """Return the ranks by machine: one host name and, as containers share names, one start of its clock."""
    found: dict[str, list[list[RankDigest]]] = {}
    for digest in digests:
        boots = found.setdefault(digest.host, [])
        near = (boot for boot in boots if abs(boot[0].clock_ns - digest.clock_ns) < _SAME_BOOT_NS)
        boot = next(near, None)
        if boot is None:
            boots.append([digest])
        else:
            boot.append(digest)
    return [boot for boots in found.values() for boot in boots]


def _estimate(machine: Sequence[RankDigest], reference: Sequence[RankDigest]) -> Clock:
    """Return the clock of ``machine`` from ends of the same collectives, else from the wall clocks."""
    ours, times = _differences(machine, reference)
    if len(ours) < _LEAST:
        other, own = reference[0], machine[0]
        return Clock(offset_ns=float(other.clock_ns - own.clock_ns), error_ns=float("nan"))
    order = np.argsort(times, kind="stable")
    ours, times = ours[order], times[order]
    half = len(ours) // 2
    early, late = float(np.median(ours[:half])), float(np.median(ours[half:]))
    apart = float(np.median(times[half:]) - np.median(times[:half]))
    drift = (late - early) / apart if apart > 0 and len(ours) >= 4 * _LEAST else 0.0
    middle = float(np.median(times))
    flat = ours - drift * (times - middle)
    offset = float(np.median(flat))
    return Clock(
        offset_ns=offset,
        drift=drift,
        at_ns=middle,
        error_ns=float(np.subtract(*np.percentile(flat, [75, 25]))) / 2,
    )


def _differences(machine: Sequence[RankDigest], reference: Sequence[RankDigest]) -> tuple[Floats, Floats]:
    """Return by how much ends of the same calls are later on the machine's clock, and when, on its own clock."""
    apart: list[Floats] = [np.zeros(0)]
    times: list[Floats] = [np.zeros(0)]
    for own in machine[:_ASKED]:
        for other in _partners(own, reference):
            for group in own.calls.keys() & other.calls.keys():
                mine, theirs = own.calls[group], other.calls[group]
                _, here, there = np.intersect1d(
                    mine.column, theirs.column, assume_unique=True, return_indices=True
                )
                apart.append(mine.end_ns[here] - theirs.end_ns[there])
                times.append(mine.end_ns[here])
    return np.concatenate(apart), np.concatenate(times)


def _partners(own: RankDigest, reference: Iterable[RankDigest]) -> list[RankDigest]:
    """Return the first ranks of the reference machine that share a group with ``own``."""
    found: list[RankDigest] = []
    for other in reference:
        if own.calls.keys() & other.calls.keys():
            found.append(other)
            if len(found) == _ASKED:
                break
    return found


def worst_error_s(clocks: Mapping[str, Clock]) -> float:
    """Return the largest error of all clocks in seconds; NaN where one rests on the wall clock alone."""
    return max((clock.error_ns for clock in clocks.values()), default=0.0) / 1e9
