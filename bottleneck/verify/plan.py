"""Which resources to take away, in which order and for how long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .statistics import Comparison

NOTHING = 0.03  # of a step: below 3 % a slow-down is not told from noise (straggler what-if, OSDI'25)
BOTTLENECK = 0.10  # torch's noop_hook and Greyhound speak of a bottleneck from 10 % on
PRECISE = 0.05  # the step without a resource is to be known within 5 %: the figure this project promises
# Half of all answers are to be that near, and nine of ten within twice as much. An interval of 8 % to either side has a
# standard error of 4 %: half of the answers are within 2.7 % then, nine of ten within 6.6 %, with room for the truth's.
_INTERVAL = 0.08
_POINT = 0.01  # of the step: the same from a five-fold gain on, and nobody asks beyond that
_HARDLY = 0.01  # what takes less than 1 % of the thread's time is no suspect
# Of a step goes into anomaly detection: 0.51 to 0.73 of three transformers (gauntlet, nan_search).
_OFTEN_HALF = 0.5
_HIDDEN = (
    4  # times what the loop spends on it: of 60 experiments of the gauntlet 3.6 was the most without workers
)
_BLOCK_STEPS, _BLOCK_S = 10, 0.5  # a block is at least 10 steps and half a second (causal.md (a))
_LONG_BLOCK_S, _FEWEST = 3.0, 6  # of slow steps fewer do: their noise is a smaller part of them
_SETTLE = 2  # steps after a switch that belong to neither side
_MOST_PAIRS = 12  # t has 11 degrees of freedom then; more pairs hardly narrow the interval

# What the loop's time in a phase is the cost of, and what is taken away to see.
RESOURCE_OF: Mapping[str, str] = {
    "data_wait": "input",
    "h2d": "transfer",
    "communication": "collectives",
    "sync": "sync",
    "checkpoint": "checkpoint",
    "evaluation": "evaluation",
    "logging": "logging",
    "gc": "gc",
}
# With several ranks only what can go away on all of them alike: whether an evaluation is skipped, or a value is an
# old one, may differ from rank to rank, and then one waits for ever in a collective.
SAFE_ON_ALL_RANKS = frozenset({"input", "transfer", "logging", "checkpoint", "gc", "collectives", "anomaly"})
SLOWER = (
    "slow:fetch"  # makes batches slower instead of doing without: what can't be replayed can still be delayed
)
STALLS = frozenset({"checkpoint", "evaluation"})  # come once in many steps: a block holds whole intervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What is known of the steps before anything is taken away.

    Attributes:
        step_s: Mean step, seconds.
        updates: Optimizer steps in one step.
        ahead: Steps for which a full queue of the loader lasts; 0 without workers.
        shares: Share of the step by resource, of the loop's own time.
        every: Steps from one stall, or start of an epoch, to the next, by resource; missing where not known.
        epochs_share: Share of the step spent on starting epochs, spread over their steps.
        loads: A loader feeds the training.
        ranks: Training processes.
        anomaly: Autograd's anomaly detection is on. No phase shows what it costs.
    """

    step_s: float = 0.0
    updates: float = 1.0
    ahead: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)
    every: Mapping[str, int] = field(default_factory=dict)
    epochs_share: float = 0.0
    loads: bool = False
    ranks: int = 1
    anomaly: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """One comparison, in optimizer steps.

    Attributes:
        block: Counted steps of a block.
        wash: Steps before each block that are not counted.
        pairs: How often A B B A is gone through.
        seconds: What it takes if nothing becomes faster.
    """

    block: int
    wash: int
    pairs: int
    seconds: float


def suspects(pace: Pace) -> list[tuple[str, float]]:
    """Return (resource, share of the loop's own time), the most suspicious first.

    A loader with workers counts however short the wait: they may take from the model what they save the loop. One
    that makes batches in the loop costs what the loop waits for it: half a tenth of the step is no bottleneck.
    """
    found = {name: share for name, share in pace.shares.items() if share >= _HARDLY}
    if pace.anomaly:
        found["anomaly"] = _OFTEN_HALF
    if pace.loads and pace.ahead:
        found["input"] = max(found.get("input", 0.0), NOTHING)
    elif not pace.loads or found.get("input", 0.0) < BOTTLENECK / 2:
        found.pop("input", None)
    if pace.ranks > 1:
        found = {name: share for name, share in found.items() if name in SAFE_ON_ALL_RANKS}
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def lengths(resource: str, pace: Pace, left_s: float, more: bool = False) -> Lengths | str:
    """Return how long to compare, or why that can't be done in the ``left_s`` seconds that are left.

    ``more`` asks for one more round of a comparison that has begun: at most half of what is left goes into it.
    """
    rare = resource in STALLS or (resource == "input" and pace.epochs_share >= NOTHING)
    if rare and resource not in pace.every:
        return "it came only once while steps were measured: how often it comes is not known"
    wash = _wash(pace)
    block = max(
        _BLOCK_STEPS, math.ceil(_BLOCK_S / pace.step_s), wash
    )  # no less is counted than is thrown away
    if block * pace.step_s > _LONG_BLOCK_S:
        block = max(_FEWEST, math.ceil(_LONG_BLOCK_S / pace.step_s))
    every = pace.every[resource] if rare else 1
    whole = math.ceil(block / every) * every
    round_s = 4 * (whole + wash) * pace.step_s
    if round_s > (left_s / 2 if more else left_s):
        steps = 4 * (whole + wash)
        return f"it takes {steps} steps to compare, {round_s:.0f} s, and {left_s:.0f} s were left"
    pairs = 1 if more or 2 * round_s > left_s / 2 else 2
    return Lengths(
        block=round(whole * pace.updates),
        wash=math.ceil(wash * pace.updates),
        pairs=pairs,
        seconds=pairs * round_s,
    )


def _wash(pace: Pace) -> int:
    """Return the steps after a switch until the loader's queue is as full as it stays: it may be of another fill."""
    return _SETTLE + pace.ahead


def settled(found: Comparison | None) -> bool:
    """Return whether more pairs would change nothing: it hides nothing, or the step without it is known.

    Whether it is a bottleneck has to be beyond doubt, or known as well as anybody would ask.
    """
    if found is None or found.interval is None:
        return False
    low, high = found.interval
    if high < NOTHING or found.pairs >= _MOST_PAIRS:
        return True
    wanted = PRECISE if low < BOTTLENECK < high else _INTERVAL
    return (high - low) / 2 <= max(wanted * (found.without_s / found.base_s), _POINT)


def worth_asking(resource: str, share: float, most: float, ahead: int) -> bool:
    """Return whether a suspect of ``share`` of the loop's time could still matter beside a found share of ``most``.

    It may cost several times what the loop spends on it. With workers (``ahead``) the wait says nothing: those take
    cores from the model.
    """
    least = NOTHING if resource == "input" and ahead else max(NOTHING, most / _HIDDEN)
    return most < BOTTLENECK or share >= least
