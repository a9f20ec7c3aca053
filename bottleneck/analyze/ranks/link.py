"""What the link between ranks can do, from reductions of growing sizes as the run ended, and what of it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...model.ranks import RankDigest
from ...model.record import ProcessRecord
from ..values import Values
from .exchange import DDP, wire_factor

_UNDISTURBED = 25  # percentile: where ranks share cores, half of the calls may wait for one of them
_LEAST_SIZES = 3  # a line through two points always fits
_PROBED = (
    "comm.link_bytes_per_s",
    "comm.link_latency_s",
    "comm.link_even_bytes",
    "comm.link_used_frac",
    "comm.latency_frac",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A reduction takes ``latency_s + bytes on the wire / bytes_per_s``.

    Attributes:
        latency_s: What it takes however small it is.
        bytes_per_s: What a rank's link carries.
        even_bytes: Size of a reduction that takes as long to start as to move.
        calls: Reductions that this rests on.
    """

    latency_s: float
    bytes_per_s: float
    even_bytes: float
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What the run asked of the link, per step, means over the ranks.

    Attributes:
        wire_bytes: Bytes that its reductions put on a rank's link.
        reductions: How many there are; each bucket of DDP is one.
        moving_s: Seconds in which they moved, hidden or not.
    """

    wire_bytes: float
    reductions: float
    moving_s: float


def told(process: ProcessRecord) -> Mapping[str, Any]:
    """Return what a rank measured of its link, or why it did not; empty where it was not asked."""
    return next((event.data for event in reversed(process.told("link"))), {})


def fit(digests: Sequence[RankDigest]) -> Link | None:
    """Return the line through the lower quartile of each size's times, None where no rank measured enough of them.

    Relative errors count, so that a reduction of 100 us weighs as much as one of 10 ms. Where the line would
    begin below zero the shortest time seen is the latency.
    """
    points = [point for digest in digests for point in _points(digest.link)]
    sizes = sorted({size for size, _, _ in points})
    if len(sizes) < _LEAST_SIZES:
        return None
    seconds = np.array(
        [np.percentile([s for size, _, s in points if size == one], _UNDISTURBED) for one in sizes]
    )
    if not (seconds > 0).all():
        return None
    factor = points[0][1]
    wire = factor * np.array(sizes, float)
    design = np.stack([1 / seconds, wire / seconds], axis=1)
    latency, per_byte = np.linalg.lstsq(design, np.ones(len(sizes)), rcond=None)[0]
    latency = latency if latency > 0 else seconds.min()
    if per_byte <= 0:
        return None
    return Link(
        latency_s=float(latency),
        bytes_per_s=float(1 / per_byte),
        even_bytes=float(latency / per_byte / factor),
        calls=len(points),
    )


def _points(told: Mapping[str, Any]) -> list[tuple[int, float, float]]:
    """Return (bytes, times its bytes on the wire, seconds) of each call that a rank told."""
    if told.get("state") != "done" or not isinstance(told.get("world"), int):
        return []
    factor = wire_factor(told["world"])
    pairs = zip(told.get("sizes", ()), told.get("times_us", ()), strict=False)
    return [(size, factor, us / 1e6) for size, calls in pairs for us in calls] if factor else []


def reductions(digest: RankDigest) -> float:
    """Return the reductions of a step: calls of all_reduce, and DDP's exchanges bucket by bucket."""
    buckets = float(digest.ddp.get("buckets") or 1)
    calls = {DDP: buckets, "all_reduce": 1.0}
    return sum(each[0] * calls[name] for (name, _), each in digest.volume.items() if name in calls)


def analyse(digests: Sequence[RankDigest], use: Use, values: Values) -> None:
    """Give the ``comm.link_*`` measurements and what of the moving time is latency, or why they are missing."""
    values.give("comm.reductions", use.reductions, len(digests))
    found = fit(digests)
    latency_frac = 0.0
    if found is None:
        for identifier in _PROBED:
            values.lack(identifier, _reason(digests))
    else:
        values.give("comm.link_bytes_per_s", found.bytes_per_s, found.calls)
        values.give("comm.link_latency_s", found.latency_s, found.calls)
        values.give("comm.link_even_bytes", found.even_bytes, found.calls)
        if use.moving_s > 0:
            used = use.wire_bytes / use.moving_s / found.bytes_per_s
            values.give("comm.link_used_frac", min(1.0, used), found.calls)
            latency_frac = min(1.0, use.reductions * found.latency_s / use.moving_s)
            values.give("comm.latency_frac", latency_frac, found.calls)
    values.give("comm.sized_frac", 1.0 - latency_frac, found.calls if found else 1)


def _reason(digests: Sequence[RankDigest]) -> str:
    """Return why the link is not known."""
    reasons = [str(digest.link["reason"]) for digest in digests if digest.link.get("reason")]
    return reasons[0] if reasons else "it is measured at the end of runs with experiments only"
