"""When an arm has settled, what that cost, and how many steps it has to run. Times are ends of optimizer steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_LEAST = 5  # first steps allocate, choose kernels, fill caches (causal.md (c))
_SETTLE = 2  # steps until a changed queue of the loader is washed through
_WINDOW = 10  # steps compared with the next as many
_ALIKE = 0.10  # causal.md (c)
_LONG = 2.0  # compiling takes many steps' time; twice the longest that recurs is neither jitter nor a stall
_BLOCK_STEPS, _BLOCK_S = 10, 0.5  # fewer steps or less time is no measurement (causal.md (a))
# Step times in one process differ by 5-11 % (image batches, Lotus IISWC'24), means of processes by 3 % where pairs
# differ by 4 %: sqrt(2) between the two.
_WITHIN, _BETWEEN = 0.10, 0.03

Seconds = npt.NDArray[np.float64]
Ends = Sequence[float] | Seconds  # when each optimizer step ended, seconds


def step_s(ends: Ends, first: int, last: int) -> float:
    """Return the mean seconds of steps ``first`` up to, not with, ``last``, counted from 0.

    The same range in both arms is the same work: the same batches, stalls after the same steps.

    Args:
        ends: When each optimizer step ended, seconds. Where step 0 began is not known, so ``first`` is at least 1.

    Raises:
        ValueError: The range is empty or not all there.
    """
    if not 1 <= first < last <= len(ends):
        raise ValueError(f"no steps {first} to {last} in {len(ends)}")
    return float(ends[last - 1] - ends[first - 1]) / (last - first)


def warm_up_steps(ends: Ends, *, queue: int = 0, every: int = 1, compiles: bool = False) -> int | None:
    """Return how many first steps are warm-up; None if they were not over: too few steps, or none alike.

    Two windows in a row have to agree within 10 %, or as far as the spread of single steps tells at all.

    Args:
        ends: When each optimizer step ended, seconds.
        queue: Batches the loader has ready before the first step.
        every: Steps after which most steps' pattern recurs, such as a worker's turn: windows hold whole periods and
            are compared by their means. A checkpoint now and then needs none: medians pass over single long steps.
        compiles: The arm compiles: long steps early are no part of it, and a window without one has to follow.
    """
    lengths = np.diff(np.asarray(ends, dtype=np.float64))  # of steps 1, 2, ...
    window = math.ceil(_WINDOW / every) * every
    start = _least_warm(queue)
    if compiles:
        start = max(start, _after_long(lengths))
    for first in range(start, len(ends) - 2 * window + 1, window):
        here, then = lengths[first - 1 :][:window], lengths[first - 1 + window :][:window]
        if _agree(here, then, every > 1):
            return first
    return None


def warm_up_s(ends: Ends, began: float, warm: int, settled_s: float) -> float:
    """Return what starting took longer than ``warm`` settled steps of ``settled_s`` seconds would have.

    Args:
        ends: When each optimizer step ended, seconds.
        began: When the process began, or any moment that is the same one in both arms, before the first step.
    """
    return float(ends[warm - 1]) - began - warm * settled_s


def break_even_steps(base_s: float, arm_s: float, longer_s: float) -> float | None:
    """Return the steps after which an arm's longer start is earned back; None where a step gains nothing.

    Args:
        base_s: Settled seconds per step without the changes.
        arm_s: With them.
        longer_s: ``warm_up_s`` of the arm minus that of the base.
    """
    if arm_s >= base_s:
        return None
    return max(0.0, longer_s) / (base_s - arm_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How far one arm runs.

    Attributes:
        warm: Steps set aside for warm-up.
        measured: Steps after it.
        every: The longest period of which they hold whole ones; 1 without.
        cut: Periods that do not fit: what comes so rarely is not in the measurement, or not in due proportion.
        seconds: What the process takes, if nothing becomes faster.
    """

    warm: int
    measured: int
    every: int
    cut: tuple[int, ...]
    seconds: float

    @property
    def steps(self) -> int:
        """Return all steps of the process."""
        return self.warm + self.measured


def plan_steps(
    step_s: float, *, fixed_s: float, budget_s: float, queue: int = 0, every: Sequence[int] = ()
) -> Length | str:
    """Return how many steps a process should run, or why that is not possible.

    More steps of one process make it no second process: what differs between processes stays. So its length balances
    the cost of another process with that of more steps. It is never below 10 steps and half a second, and whole periods
    are held where that fits.

    Args:
        step_s: Mean step, seconds.
        fixed_s: From the start of the process to its first step.
        budget_s: The most one process may take.
        queue: Batches the loader has ready before the first step.
        every: Periods in steps after which something recurs: epochs, checkpoints, evaluations.

    Source:
        Kalibera and Jones, "Rigorous Benchmarking in Reasonable Time", ISMM'13: n = sqrt(c2/c1 T1^2/T2^2).
    """
    warm = _least_warm(queue) + _WINDOW  # one window more than the least: agreement may take a second try
    start_s = fixed_s + warm * step_s
    least = max(_BLOCK_STEPS, math.ceil(_BLOCK_S / step_s))
    best = math.ceil(math.sqrt(start_s / step_s) * _WITHIN / _BETWEEN)
    wanted = max(least, best, 2 * _WINDOW)  # warm-up is seen to be over by two windows
    room = math.floor((budget_s - start_s) / step_s)
    if room < 2 * _WINDOW:
        return f"a process takes {start_s + 2 * _WINDOW * step_s:.0f} s to measure, and {budget_s:.0f} s are allowed"
    periods = sorted({period for period in every if period > 1})
    period = max((period for period in periods if period <= room), default=1)
    measured = min(math.ceil(wanted / period) * period, room // period * period)
    return Length(
        warm=warm,
        measured=measured,
        every=period,
        cut=tuple(one for one in periods if one > period),
        seconds=start_s + measured * step_s,
    )


def _least_warm(queue: int) -> int:
    return max(_LEAST, queue + _SETTLE)


def _after_long(lengths: Seconds) -> int:
    """Return the step after the last long one.

    What is as long twice or more in the second half recurs: it belongs to the training, not to its start.
    """
    later = np.sort(lengths[len(lengths) // 2 :])
    if len(later) < 2:
        return 0
    long = np.flatnonzero(lengths > _LONG * later[-2])
    return int(long[-1]) + 2 if len(long) else 0


def _agree(here: Seconds, then: Seconds, periodic: bool) -> bool:
    """Return whether two windows are alike; by medians, which single long steps don't move, but for whole periods."""
    center = np.mean if periodic else np.median
    one, other = float(center(here)), float(center(then))
    return abs(one - other) <= max(_ALIKE * min(one, other), 0.0 if periodic else _unsure(then))


def _unsure(window: Seconds) -> float:
    """Return two standard errors of the difference of two such windows' medians (normal: 1.2533 s / sqrt(n))."""
    spread = 1.4826 * float(np.median(np.abs(window - np.median(window))))
    return 2 * math.sqrt(2) * 1.2533 * spread / math.sqrt(len(window))
