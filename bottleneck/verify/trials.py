"""From paired runs with and without a change to a verdict, and what the pairs could have seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ..model.finding import Interval
from .quantiles import t_quantile

Verdict = Literal["PROVED", "REFUTED", "HARMFUL", "UNDECIDED"]
Pair = tuple[float, float]  # seconds per step (base, arm)

LOOKS = (5, 8, 12, 20)
# What each of K looks may err by so that all together err by 5 % (Pocock, Biometrika 64 (1977), two-sided).
_POCOCK = {1: 0.05, 2: 0.0294, 3: 0.0221, 4: 0.0182, 5: 0.0158}
LEAST = 0.01  # no speedup below 1 % is claimed, however even the pairs (causal.md (c))
NOTHING = 0.03  # below 3 % a speed-up is not worth a change (straggler what-if, OSDI'25)
# A last look when the budget ends takes the place of the later ones. With two pairs it would rest on one difference.
_LAST_LOOK = 3
# By Ville's inequality a process of fair bets reaches 20 in at most 5 % of trials, whenever one stops. This is for
# one side. It may add its errors to those of the looks: over 4,000 simulated A/A trials at 4 % both together gave
# PROVED or HARMFUL in 1 %, since each has to clear the margin as well; of 5 % gains with a sixth of the pairs
# contaminated it proves 54 % instead of 37 %.
_BETS = 20.0
_POWER = 0.80  # the usual convention for what a trial "could have seen"
_MOST_LOG = 700.0  # exp of more is no float


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """What pairs of equal runs differ by.

    Attributes:
        spread: Root mean square of their log ratios, whose true mean is 0; 0 without a pair.
        pairs: How many there were; as many degrees of freedom.
    """

    spread: float = 0.0
    pairs: int = 0

    def half_width(self, pairs: int) -> float:
        """Return the standard error of the mean of ``pairs`` log ratios of equal runs."""
        return self.spread / math.sqrt(pairs) if pairs else self.spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the pairs of one trial say so far. Speedups are old over new seconds per step.

    Attributes:
        state: The verdict; UNDECIDED while there is none.
        final: More pairs would change nothing, or are not to come.
        speedup: Geometric mean and its interval; the median and its interval where ``basis`` is "sign". None
            without a pair, or with a single one and no A/A pair to take the spread from.
        level: Coverage of the interval, corrected for looks and for the number of changes tried.
        basis: What the verdict rests on: the mean's interval at a look, or the sign of each pair.
        pairs: How many.
        median: Median speedup; None without a pair.
        disagree: Mean and median lie further apart than the pairs' spread explains, and than the margin: some
            pairs are unlike the rest. They are kept all the same: pairs are dropped for what the machine did
            (``disturbance``), never for what they say.
        margin: The least speedup that is claimed, minus 1.
        least: The smallest speedup that as many pairs of this spread would prove four times in five.
        noise: Half width of the mean of as many A/A pairs, as a log ratio.
        e_faster: Evidence that most pairs gain more than the margin: of a bettor's stake, how many times it is now.
        e_slower: That most lose more than it.
    """

    state: Verdict
    final: bool
    speedup: Interval | None
    level: float
    basis: Literal["mean", "sign"]
    pairs: int
    median: float | None
    disagree: bool
    margin: float
    least: float | None
    noise: float
    e_faster: float
    e_slower: float


def noise_of(pairs: Sequence[Pair]) -> Noise:
    """Return what ``pairs`` of equal runs, in seconds per step, differ by."""
    logs = _logs(pairs)
    if not logs:
        return Noise()
    return Noise(spread=math.sqrt(math.fsum(log * log for log in logs) / len(logs)), pairs=len(logs))


def judge(
    pairs: Sequence[Pair],
    noise: Noise,
    tried: int = 1,
    *,
    looks: Sequence[int] = LOOKS,
    least: float = LEAST,
    ended: bool = False,
) -> Judged:
    """Return what ``pairs`` say.

    To be asked after each pair, until it is final. The mean decides at looks, at most four (Pocock); the sign of
    pairs may decide after any pair.

    Args:
        pairs: Seconds per step (base, arm), in any order.
        noise: Of the A/A pairs. What they differ by in the mean of as many pairs is the margin, where it is more than
            ``least``: a lucky streak of even pairs can't prove what the machine doesn't resolve.
        tried: Changes tried in this session: the error is divided among them (Bonferroni).
        looks: Pairs after which the mean is looked at, ascending; one to five.
        least: Speedup minus 1 below which nothing is claimed.
        ended: No pair will follow for lack of time: a last look, in place of the planned ones.

    Raises:
        ValueError: A time is not positive, or there are more looks than levels are known for.
    """
    logs, count = _logs(pairs), len(pairs)
    error = _POCOCK.get(len(looks), 0.0) / tried
    if not error:
        raise ValueError(f"no level is known for {len(looks)} looks")
    half_noise = noise.half_width(count)
    margin = max(math.log1p(least), half_noise)
    mean = math.fsum(logs) / count if count else 0.0
    half, seen = _resolution(logs, noise, error)
    low, high = mean - half, mean + half
    faster = e_value(count, sum(log > margin for log in logs))
    slower = e_value(count, sum(log < -margin for log in logs))
    looking = count in looks or count >= looks[-1] or (ended and count >= _LAST_LOOK)
    state: Verdict = _by_mean(low, high, margin) if looking else "UNDECIDED"
    bets, by_sign = _BETS * tried, False
    if state == "UNDECIDED":
        state = _by_sign(mean, margin, faster >= bets, slower >= bets)
        by_sign = state != "UNDECIDED"
    interval = _interval(low, mean, high) if math.isfinite(half) else None
    return Judged(
        state=state,
        final=state != "UNDECIDED" or ended or count >= looks[-1],
        speedup=_median_interval(logs, bets) if by_sign else interval,
        level=1 - 2 / bets if by_sign else 1 - error,
        basis="sign" if by_sign else "mean",
        pairs=count,
        median=_exp(_median(logs)) if logs else None,
        disagree=_disagree(logs, mean, margin),
        margin=math.expm1(margin),
        least=_exp(margin + seen) if math.isfinite(seen) else None,
        noise=half_noise,
        e_faster=faster,
        e_slower=slower,
    )


def _by_mean(low: float, high: float, margin: float) -> Verdict:
    if low > margin:
        return "PROVED"
    if high < -margin:
        return "HARMFUL"
    return "REFUTED" if high < math.log1p(NOTHING) else "UNDECIDED"


def _by_sign(mean: float, margin: float, faster: bool, slower: bool) -> Verdict:
    """Return a verdict only where the mean points the same way: rare long stalls are a loss no median shows."""
    if faster and mean > margin:
        return "PROVED"
    return "HARMFUL" if slower and mean < -margin else "UNDECIDED"


def _resolution(logs: Sequence[float], noise: Noise, error: float) -> tuple[float, float]:
    """Return (half width of the mean's interval, distance from its margin that is seen in 80 % of trials)."""
    count = len(logs)
    if count > 1:
        mean, degrees = math.fsum(logs) / count, count - 1
        spread = math.sqrt(math.fsum((log - mean) ** 2 for log in logs) / degrees)
    elif count and noise.pairs:  # one pair shows no spread, but that of A/A pairs is known
        spread, degrees = noise.spread, noise.pairs
    else:
        return math.inf, math.inf
    scale = spread / math.sqrt(count)
    quantile = t_quantile(1 - error / 2, degrees)
    return quantile * scale, (quantile + t_quantile(_POWER, degrees)) * scale


@lru_cache(maxsize=4096)
def e_value(count: int, wins: int) -> float:
    """Return the sign e-process: the likelihood of ``wins`` of ``count``, win rate uniform on 1/2..1, over that at 1/2.

    2^(n+1) times the integral of p^k (1-p)^(n-k) from 1/2 to 1. Where at most half of all pairs win, it reaches 1/a
    at any time with probability at most a, whatever the distribution. Exact, in integers.
    """
    below = sum(math.comb(count + 1, k) for k in range(wins + 1))
    return below / ((count + 1) * math.comb(count, wins))


def _median_interval(logs: Sequence[float], bets: float) -> Interval:
    """Return the median with all medians that the sign e-process does not exclude at ``bets``."""
    ordered, count = sorted(logs), len(logs)
    wins = next(k for k in range(count + 1) if e_value(count, k) >= bets and 2 * k > count)
    return _interval(ordered[count - wins], _median(ordered), ordered[wins - 1])


def _disagree(logs: Sequence[float], mean: float, margin: float) -> bool:
    """Return whether mean and median differ by more than twice the standard error of that, from the median deviation.

    Of n normal numbers it is sqrt((pi/2 - 1) / n) standard deviations; 1.4826 median deviations are one.
    """
    count = len(logs)
    if count < LOOKS[0]:
        return False
    median = _median(logs)
    spread = 1.4826 * _median([abs(log - median) for log in logs])
    return abs(mean - median) > max(margin, 2 * spread * math.sqrt((math.pi / 2 - 1) / count))


def _median(values: Sequence[float]) -> float:
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _logs(pairs: Sequence[Pair]) -> list[float]:
    if not all(0 < base < math.inf and 0 < arm < math.inf for base, arm in pairs):
        raise ValueError("seconds per step have to be positive")
    return [math.log(base) - math.log(arm) for base, arm in pairs]


def _interval(low: float, likely: float, high: float) -> Interval:
    return Interval(low=_exp(low), likely=_exp(likely), high=_exp(high))


def _exp(value: float) -> float:
    return math.exp(max(-_MOST_LOG, min(_MOST_LOG, value)))
