"""A change to try on the unmodified script, and what paired runs say about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .finding import Interval

State = Literal["PROVED", "REFUTED", "HARMFUL", "UNDECIDED", "NOT_APPLIED", "FAILED"]
Losses = Literal["identical", "rounding", "reordered", "changed", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change made at run time.

    Attributes:
        mitigation: The advice it carries out.
        override: The class in ``agent/overrides`` that makes it.
        settings: Its numbers; switches are 0 or 1.
    """

    mitigation: str
    override: str
    settings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LossComparison:
    """What a change did to the losses of the same steps.

    Attributes:
        relation: "identical" bit for bit; "rounding": within what another order of additions gives; "reordered":
            the same values in another order; "changed"; "unknown" where no loss was seen.
        steps: How many losses were compared.
        largest: The largest relative difference of losses at the same step.
        text: One sentence for the report, with what so short a run can and can't know.
    """

    relation: Losses
    steps: int
    largest: float | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What pairs of runs with and without some changes say.

    Attributes:
        mitigations: The advice tried, one id, or several that were tried together.
        changes: What was changed in the arm.
        state: The verdict.
        speedup: Old over new seconds per step with its interval at the level of the look; None without a pair.
        level: Coverage of that interval, corrected for the looks and for the number of mitigations tried.
        pairs: Pairs that count.
        dropped: Pairs that were left out, by reason.
        least: The smallest speedup the pairs could have told from none, as a ratio above 1.
        noise: Half width of the speedup of A/A pairs, as a log ratio.
        base_s: Median seconds per step without the changes.
        arm_s: With them.
        warm_up_s: What the arm's first steps took longer than the base's: compiling, choosing kernels.
        break_even_steps: Steps after which that is earned back; None where nothing is gained.
        losses: What happened to the losses.
        reason: Why there is no verdict, or what was refused.
        seconds: What the trial took.
    """

    mitigations: tuple[str, ...]
    changes: tuple[Change, ...]
    state: State
    speedup: Interval | None = None
    level: float | None = None
    pairs: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    least: float | None = None
    noise: float | None = None
    base_s: float | None = None
    arm_s: float | None = None
    warm_up_s: float | None = None
    break_even_steps: float | None = None
    losses: LossComparison | None = None
    reason: str = ""
    seconds: float = 0.0
