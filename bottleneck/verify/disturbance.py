"""Which pairs are left out for what the machine did meanwhile: fixed beforehand, blind to the times measured.

A pair dropped for its value would bend the result; a pair dropped for steal, throttling or somebody else's programs
does not, as long as the rule can't see which arm came out faster. So each rule tells what the machine did to the run
from what the run does to the machine: a recipe that needs more cores than there are shall pay for that in the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

STEAL = 0.05  # causal.md (c): from 5 % on, what the hypervisor takes is more than the gains asked about
PRESSURE = 0.20  # causal.md (c)
_HELD_BACK = 0.05  # of the time: the same as steal, since the processor is away just as well
_WAITING = 0.05  # the job itself has to wait as long before anybody's load is its trouble
_ALIKE = 0.10  # of a core more or less beside two cores moves a step by 5 % at most: noise in pairs of random order
_SLOW_DISK = 100e6  # bytes per second of a slow disk: what swapping in takes is estimated with it
_SWAPPING = 0.01  # of the run's time: the least gain that is ever claimed
NOISY = 0.30  # causal.md (c)
_ATTEMPTS = 10  # where one pair in ten is disturbed, 4 of 10 are in one session of 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the machine did while one arm was measured. None: not known, and then no rule uses it.

    Attributes:
        seconds: Length of the measured part.
        steal_frac: Mean share of CPU time taken by the hypervisor.
        throttled_s: Time the control group's CPU quota held its tasks back, summed over cores.
        quota_cores: The quota, in cores.
        heat_frac: Share of samples in which heat held a GPU's clock back. A power limit is no disturbance: the
            training itself reaches it, in each run.
        psi_cpu_frac: Share of time in which some task of the machine waited for a core (PSI "cpu some").
        busy_cores: Cores busy on average, on the whole machine.
        own_cores: Of those, by the job's processes: their CPU seconds over ``seconds``.
        own_wait_frac: The largest share of the time that one process of the job waited for a core.
        swap_in_bytes: What was read back from swap.
    """

    seconds: float
    steal_frac: float | None = None
    throttled_s: float | None = None
    quota_cores: float | None = None
    heat_frac: float | None = None
    psi_cpu_frac: float | None = None
    busy_cores: float | None = None
    own_cores: float | None = None
    own_wait_frac: float | None = None
    swap_in_bytes: float | None = None


def disturbed(base: Surroundings, arm: Surroundings) -> str | None:
    """Return why a pair does not count, a few words that are the same for all such pairs, or None."""
    if max(base.steal_frac or 0.0, arm.steal_frac or 0.0) > STEAL:
        return "the hypervisor took CPU time"
    if _unlike(_held_back(base), _held_back(arm), _HELD_BACK):
        return "the CPU quota was used up by other programs"
    if _unlike(base.heat_frac, arm.heat_frac, _HELD_BACK):
        return "heat held the GPU's clock back"
    if _unlike(pressure_of_others(base), pressure_of_others(arm), PRESSURE):
        return "other programs took the cores"
    swapping = _swapping(base), _swapping(arm)
    if any(swapping):
        return "the machine swapped" if swapping[0] else "the machine swapped, with the changes only"
    return None


def pressure_of_others(seen: Surroundings) -> float | None:
    """Return the share of time, 0-1, in which others may have kept the job from a core; None where not known.

    A job with as many threads as cores and some workers more makes pressure by itself, on an idle machine. Somebody
    else can be blamed only for time in which programs outside the job ran at all: that is at most what they had of
    the cores, however high the pressure is. And on a machine with other busy cores but some left for the job, others
    run without taking anything from it: its own processes then don't wait.
    """
    if seen.psi_cpu_frac is None or seen.busy_cores is None or seen.own_cores is None:
        return None
    if seen.own_wait_frac is not None and seen.own_wait_frac <= _WAITING:
        return 0.0
    return min(seen.psi_cpu_frac, max(0.0, seen.busy_cores - seen.own_cores), 1.0)


def too_noisy(counted: int, dropped: Mapping[str, int]) -> str | None:
    """Return why no verdict can be had on this machine now, or None.

    Args:
        counted: Pairs of the session that count.
        dropped: Pairs that don't, by what ``disturbed`` said.
    """
    lost = sum(dropped.values())
    if lost + counted < _ATTEMPTS or lost <= NOISY * (lost + counted):
        return None
    most = max(sorted(dropped), key=lambda reason: dropped[reason])
    return f"the machine is too noisy: {lost} of {lost + counted} pairs were disturbed, mostly since {most}"


def _unlike(base: float | None, arm: float | None, most: float) -> bool:
    """Return whether one arm saw more than ``most`` and the other did not see the same.

    What both saw alike is the machine as it is: a neighbour that is always there, a room that is always hot. It makes
    both slower, and the pair stays fair.
    """
    here, there = base or 0.0, arm or 0.0
    return max(here, there) > most and abs(here - there) > min(_ALIKE, most)


def _held_back(seen: Surroundings) -> float | None:
    """Return the share of time the quota held the job back for what others in its group used.

    A job that itself uses half the quota or more on average has bursts that use it up: then it throttles itself.
    """
    if seen.throttled_s is None or seen.quota_cores is None or seen.own_cores is None:
        return None
    return seen.throttled_s / seen.seconds if seen.own_cores < seen.quota_cores / 2 else 0.0


def _swapping(seen: Surroundings) -> bool:
    return (seen.swap_in_bytes or 0.0) / _SLOW_DISK > _SWAPPING * seen.seconds
