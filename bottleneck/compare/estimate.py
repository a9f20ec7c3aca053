"""Means with their errors: of steps that follow each other, of runs, and what two of them differ by."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..model.comparison import Estimate
from ..model.finding import Interval
from ..verify.quantiles import t_quantile

_FEWEST = 16  # steps: four blocks of four, the fewest that give an error with a t below 3.2
_SURE = 0.975  # both ends of a 95 % interval
_MOST_ALIKE = 0.8  # blocks more alike than that are no sample of anything; the error is 3 times wider there


def of_steps(values: npt.NDArray[np.float64]) -> Estimate:
    """Return the mean of consecutive steps and its error by batch means; no error for fewer than 16 steps.

    Steps in a row are alike: the loader's queue, the clock of the processor and caches carry over. Means of sqrt(n)
    blocks of sqrt(n) steps nearly are not; what is left between neighbours widens the error as in an AR(1) series.

    Args:
        values: One value per step, in order, shape (n,).

    Source:
        Flegal and Jones, "Batch means and spectral variance estimators in Markov chain Monte Carlo", Annals of
        Statistics 38 (2010): blocks of sqrt(n).
    """
    mean = float(values.mean()) if len(values) else math.nan
    if len(values) < _FEWEST:
        return Estimate(value=mean)
    count = math.isqrt(len(values))
    edges = np.linspace(0, len(values), count + 1).astype(int)
    sums = np.add.reduceat(values, edges[:-1])
    blocks = sums / np.diff(edges)
    alike = _alike(blocks)
    error = float(blocks.std(ddof=1)) / math.sqrt(count) * math.sqrt((1 + alike) / (1 - alike))
    return Estimate(value=mean, error=error, degrees=count - 1)


def _alike(blocks: npt.NDArray[np.float64]) -> float:
    """Return the correlation of neighbouring blocks, between 0 and ``_MOST_ALIKE``."""
    away = blocks - blocks.mean()
    whole = float((away**2).sum())
    if whole <= 0:
        return 0.0
    # the estimate is too small by about 1 / n for independent blocks
    found = float((away[1:] * away[:-1]).sum()) / whole + 1 / len(blocks)
    return min(_MOST_ALIKE, max(0.0, found))


def of_runs(values: Sequence[float]) -> Estimate:
    """Return the mean over runs and its error; no error for a single run."""
    found = np.array(values, dtype=np.float64)
    if len(found) < 2:
        return Estimate(value=float(found.mean()) if len(found) else math.nan)
    error = float(found.std(ddof=1)) / math.sqrt(len(found))
    return Estimate(value=float(found.mean()), error=error, degrees=len(found) - 1)


def borrowed(single: Estimate, several: Estimate, runs: int) -> tuple[Estimate, Estimate]:
    """Return both means with the error of their difference, as the ``runs`` runs of ``several`` alone show it.

    It is taken for granted that runs of both sides differ alike: one run can't tell. All of the error stands with
    ``several``, so that it keeps the degrees of freedom it was found with.
    """
    if several.error is None:
        return Estimate(value=single.value), several
    error = several.error * math.sqrt(1 + runs)
    return (
        Estimate(value=single.value, error=0.0),
        Estimate(value=several.value, error=error, degrees=several.degrees),
    )


def log(estimate: Estimate) -> Estimate:
    """Return the logarithm of a positive mean; its error is the relative one (delta method)."""
    error = None if estimate.error is None else estimate.error / estimate.value
    return Estimate(value=math.log(estimate.value), error=error, degrees=estimate.degrees)


def difference(before: Estimate, after: Estimate) -> tuple[Interval, bool]:
    """Return after - before with its 95 % interval, and whether there is one.

    Source:
        Welch, "The generalization of Student's problem when several different population variances are involved",
        Biometrika 34 (1947).
    """
    apart = after.value - before.value
    if before.error is None or after.error is None:
        return Interval(low=apart, likely=apart, high=apart), False
    parts = (before.error**2, after.error**2)
    whole = sum(parts)
    if whole <= 0:
        return Interval(low=apart, likely=apart, high=apart), True
    loss = sum(part**2 / each.degrees for part, each in zip(parts, (before, after), strict=True) if part > 0)
    half = t_quantile(_SURE, whole**2 / loss) * math.sqrt(whole)
    return Interval(low=apart - half, likely=apart, high=apart + half), True


def ratio(before: Estimate, after: Estimate) -> tuple[Interval, bool]:
    """Return before / after, both logarithms, with its 95 % interval, and whether there is one."""
    found, known = difference(after, before)
    ends = [math.exp(min(700.0, max(-700.0, end))) for end in (found.low, found.likely, found.high)]
    return Interval(low=ends[0], likely=ends[1], high=ends[2]), known
