"""What is asked of a model of a change, and the answer where nothing but seconds is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.finding import Basis, Interval
from ..model.measurement import Measurements
from .estimate import UNKNOWN, Estimate
from .measured import Known
from .walls import next_wall

Arguments = Mapping[str, "float | None"]

LEAST_LEFT = 0.01  # of a step that stays whatever is removed: no prediction beyond a hundredfold


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the literature reports of a mitigation.

    Attributes:
        scope: What the factor speaks of: "phase", "step" or the whole training ("total").
        low: Least speed-up reported.
        high: Largest.
    """

    scope: str
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be predicted.

    Attributes:
        measurements: Of the run.
        arguments: The model's arguments, None where one could not be computed.
        bottleneck: What the change is to relieve.
        share: Share of the step that the bottleneck costs: what a phase is, and the bound of every gain.
        published: What the literature reports, where it may be shown.
        fewer_steps: The change cuts the number of steps; the share of a step is no bound then.
        phases: Phases that the arguments were made of.
        ends: The arguments at both ends of the intervals of what was called again.
        known: What taking the whole bottleneck away gained, where an experiment measured it.
    """

    measurements: Measurements
    arguments: Arguments
    bottleneck: str | None = None
    share: float | None = None
    published: Published | None = None
    fewer_steps: bool = False
    known: Known | None = None
    phases: tuple[str, ...] = ()
    ends: tuple[Arguments, Arguments] | None = None


def less(question: Question, mean: float, saved: tuple[float, ...], basis: Basis) -> Estimate:
    """Return the estimate of a step that is ``saved`` (low, likely, high) seconds shorter."""
    if mean <= 0:
        return UNKNOWN
    low, likely, high = (mean / max(mean - max(one, 0.0), mean * LEAST_LEFT) for one in sorted(saved))
    after = mean / likely
    return Estimate(
        speedup=Interval(low=low, likely=likely, high=high),
        basis=basis,
        after_s=after,
        next_wall=next_wall(question.measurements, question.bottleneck, mean - after),
    )
