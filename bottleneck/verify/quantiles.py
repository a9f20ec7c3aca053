"""Quantiles of Student's t at any level, without scipy."""

from __future__ import annotations

import math
from functools import lru_cache

_TINY = 1e-300  # stands for a zero that would be divided by in the continued fraction
_TERMS = 500  # the fraction is used where it converges within some dozens


@lru_cache(maxsize=4096)
def t_quantile(probability: float, degrees: float) -> float:
    """Return the value that a t-distributed number stays below with ``probability``.

    Infinite without a degree of freedom. Exact to about 12 digits.

    Raises:
        ValueError: ``probability`` is not between 0 and 1.
    """
    if not 0 < probability < 1:
        raise ValueError(f"{probability} is no probability between 0 and 1")
    if probability < 0.5:
        return -t_quantile(1 - probability, degrees)
    if degrees <= 0:
        return math.inf
    beyond, low, high = 1 - probability, 0.0, 1.0
    while _tail(high, degrees) > beyond:
        high *= 2
    while high - low > 1e-13 * high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _tail(middle, degrees) > beyond else (low, middle)
    return (low + high) / 2


def _tail(value: float, degrees: float) -> float:
    """Return the probability of more than ``value``, which is not negative."""
    return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + value * value)) / 2


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b).

    Source:
        DLMF 8.17.22, the continued fraction, by the modified method of Lentz.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly, its mirror image does not
        return 1 - incomplete_beta(b, a, 1 - x)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(scale) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    above, below = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    value = below
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            below = 1 / _off_zero(1 + term * below)
            above = _off_zero(1 + term / above)
            value *= above * below
        if abs(above * below - 1) < 1e-15:
            break
    return value


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
