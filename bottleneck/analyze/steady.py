"""Which steps are typical: after warm-up, and not disturbed by our own work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .phases import COLUMN

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_LEAST = 5  # first steps allocate, select kernels, fill caches
_WINDOW = 10  # steps compared with the next as many
_ALIKE = 0.10  # two windows within 10 %: settled (causal.md (c))
_MOST = 0.4  # a run that never settles keeps 60 % of its steps: drift is a finding, not warm-up
# Fewer steps than this give no interval worth having, and sampling 20 times a second moves a step by 2 % at most
# (collect/stacks.py): a short training keeps the steps that were sampled, a longer one can do without.
_FEW = 30
_COMPILING = 50  # compilations later than this are recompiles, not warm-up
_STALLS = [COLUMN[name] for name in ("checkpoint", "evaluation", "gc", "logging")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """Which steps the statistics rest on.

    Attributes:
        settled: Steps after warm-up, bool, shape (steps,).
        timed: Of those, the ones nothing of ours disturbed, bool, shape (steps,).
        excluded: Steps left out, by reason.
    """

    settled: Bools
    timed: Bools
    excluded: Mapping[str, int]


def find_steady(
    totals: Ints, bounds_ns: Ints, queue: int, windows: Sequence[tuple[int, int]], compiled: Bools
) -> Steady:
    """Return the steady steps.

    Args:
        totals: ns per step and column, shape (steps, len(COLUMNS)).
        bounds_ns: Edges of the steps, shape (steps + 1,).
        queue: Batches the loader prefetches; as many steps live on what was made before the first one.
        windows: Stack windows, (start, end) monotonic ns; steps that meet one are timed only where few others are left.
        compiled: Steps in which torch.compile was at work, bool, shape (steps,).
    """
    count = len(totals)
    warm = _warm_up(_plain_seconds(totals), queue, compiled)
    settled = np.arange(count) >= warm
    sampled = np.zeros(count, bool)
    for start, end in windows:
        sampled |= (bounds_ns[:-1] < end) & (bounds_ns[1:] > start)
    paused = totals[:, COLUMN["pause"]] > 0
    paused[1:] |= paused[
        :-1
    ].copy()  # the queue filled up during the pause: the next step is not typical either
    thinned = totals[:, COLUMN["gap"]] > 0
    stopped = totals[:, COLUMN["stopped"]] > 0
    timed = settled & ~sampled & ~paused & ~thinned & ~stopped
    reasons = {
        "warm-up": int(warm),
        "stacks were sampled": int(np.count_nonzero(settled & sampled)),
        "our own look at the model": int(np.count_nonzero(settled & paused & ~sampled)),
        "the process was stopped": int(np.count_nonzero(settled & stopped)),
        "not kept in detail": int(np.count_nonzero(settled & thinned & ~paused & ~sampled)),
    }
    if np.count_nonzero(timed) < _FEW:
        timed = settled & ~thinned & ~paused & ~stopped
        reasons["stacks were sampled"] = 0
        if not timed.any():
            timed = settled
    return Steady(settled=settled, timed=timed, excluded={k: v for k, v in reasons.items() if v})


def _plain_seconds(totals: Ints) -> npt.NDArray[np.float64]:
    """Return step times without stalls that come now and then."""
    seconds: npt.NDArray[np.float64] = (totals.sum(axis=1) - totals[:, _STALLS].sum(axis=1)) / 1e9
    return seconds


def _warm_up(seconds: npt.NDArray[np.float64], queue: int, compiled: Bools) -> int:
    """Return how many steps to leave out at the start."""
    count = len(seconds)
    most = int(count * _MOST)
    early = np.flatnonzero(compiled[:_COMPILING])
    start = max(_LEAST, queue + 2)
    if len(early) and not _keeps_compiling(compiled):
        start = max(start, int(early[-1]) + 1)
    start = min(start, most)
    for first in range(start, most, _WINDOW):
        here = np.median(seconds[first : first + _WINDOW])
        then = np.median(seconds[first + _WINDOW : first + 2 * _WINDOW]) if first + _WINDOW < count else here
        if here <= then * (1 + _ALIKE):
            return first
    return most if most > start and _settles_late(seconds, start, most) else start


def _keeps_compiling(compiled: Bools) -> bool:
    """Return whether compilation goes on through the run: then it is no warm-up but the bottleneck."""
    half = len(compiled) // 2
    return bool(np.count_nonzero(compiled[half:]) >= max(2, 0.05 * (len(compiled) - half)))


def _settles_late(seconds: npt.NDArray[np.float64], start: int, most: int) -> bool:
    """Return whether steps after ``most`` are clearly faster than those before it."""
    return bool(np.median(seconds[most:]) * (1 + _ALIKE) < np.median(seconds[start:most]))
