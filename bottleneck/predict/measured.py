"""Predictions scaled to what taking the whole resource away gained in this run."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..model.finding import Interval
from ..model.measurement import Measurements
from .estimate import Estimate

# Work of the loop that nothing overlaps: half as much of it costs half as much, also of what it costs beside its phase
# (a writer's thread that takes the interpreter's lock, pages that the disk takes later).
# Of the exchange between ranks a part is hidden beside backward, but takes cores from it and buckets to fill: half as
# many exchanges spare half of that too.
IN_LINE = frozenset({"logging", "checkpoint", "evaluation", "gc", "communication"})
_LEAST_LEFT = 0.01  # of a step that stays whatever is removed: no prediction beyond a hundredfold
_BY_PHASE = frozenset({"phase", "simulation", "bracket"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a bottleneck costs.

    Attributes:
        raw: Share of the step that its phases take.
        cost: Share of the step that went away with it, with its interval.
    """

    raw: float
    cost: Interval


def in_proportion(predicted: Estimate, known: Known, measurements: Measurements) -> Estimate:
    """Return ``predicted``, which takes away a part of the phase, as the same part of what the whole costs."""
    found = predicted.speedup
    if found is None or predicted.basis not in _BY_PHASE or known.raw <= 0:
        return predicted
    parts = (min(1.0, (1 - 1 / one) / known.raw) for one in (found.low, found.likely, found.high))
    costs = (known.cost.low, known.cost.likely, known.cost.high)
    low, likely, high = (
        1 / max(_LEAST_LEFT, 1 - part * cost) for part, cost in zip(parts, costs, strict=True)
    )
    mean = measurements.number("step.mean_s")
    after = None if mean is None else mean / likely
    return replace(
        predicted, speedup=Interval(low=low, likely=likely, high=high), basis="ceiling", after_s=after
    )
