"""What two ways to run the same steps differ by, from blocks of steps taken in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Two-sided 95 % quantiles of Student's t by degrees of freedom (any table of the t distribution).
_T95 = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228}
_T95_ABOVE = ((12, 2.179), (15, 2.131), (20, 2.086), (30, 2.042), (60, 2.0), (10**9, 1.96))


def t95(degrees: int) -> float:
    """Return the two-sided 95 % quantile of Student's t; infinite without a degree of freedom."""
    if degrees < 1:
        return math.inf
    if degrees in _T95:
        return _T95[degrees]
    return next(value for limit, value in _T95_ABOVE if degrees <= limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What changes when something is taken away.

    Attributes:
        base_s: Mean step as it is, seconds.
        without_s: Mean step without it.
        share: The fraction of a step it costs: 1 - without / base; negative where steps became longer.
        interval: 95 % interval of the share; None where the pairs are too few or too uneven for one.
        pairs: How many pairs of blocks it rests on.
    """

    base_s: float
    without_s: float
    share: float
    interval: tuple[float, float] | None
    pairs: int


def compare(pairs: Sequence[tuple[float, float]]) -> Comparison | None:
    """Return what pairs of (step as is, step without), in seconds, say; None without a pair.

    The ratio of the means, not the mean of ratios: what comes once in a block counts as it does in a run.

    Source:
        Fieller, "Some Problems in Interval Estimation", JRSS B 16 (1954): exact for normal, dependent pairs.
    """
    if not pairs:
        return None
    base, without = np.array(pairs, dtype=np.float64).T
    mean = float(base.mean())
    if not mean > 0:
        return None
    return Comparison(
        base_s=mean,
        without_s=float(without.mean()),
        share=1 - float(without.mean()) / mean,
        interval=_fieller(base, without),
        pairs=len(pairs),
    )


def _fieller(
    base: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    without: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> tuple[float, float] | None:
    """Return the 95 % interval of 1 - mean(without) / mean(base)."""
    count = len(base)
    if count < 2:
        return None
    covariance = np.cov(base, without) / count
    var_base, var_without, shared = (float(covariance[at]) for at in ((0, 0), (1, 1), (0, 1)))
    mean, quantile = float(base.mean()), t95(count - 1)
    ratio, scale = float(without.mean()) / mean, (quantile / mean) ** 2
    left = 1 - scale * var_base
    if left <= 0:  # the base itself is not told from zero: no end to the interval
        return None
    spread = var_without - 2 * ratio * shared + ratio**2 * var_base
    spread -= scale * (var_base * var_without - shared**2)
    center = (ratio - scale * shared) / left
    half = quantile / (mean * left) * math.sqrt(max(0.0, spread))
    return 1 - center - half, 1 - center + half
