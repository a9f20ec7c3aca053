"""A rule's verdict on the measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .measurement import Unit

State = Literal["fires", "silent", "unknown", "error"]
Basis = Literal[
    "trial", "ceiling", "replay", "simulation", "bracket", "phase", "run", "literature", "unknown"
]
ALIKE = 0.05  # shares within 5 points tell a reader the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A range with its most likely value, all in one unit."""

    low: float
    likely: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One measurement a finding rests on, with all a reader needs to judge it."""

    id: str
    value: float
    unit: Unit
    meaning: str
    samples: int
    given_by: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says of one run.

    Attributes:
        rule: Id of the rule.
        bottleneck: The bottleneck it speaks of (DESIGN 2).
        family: The bottleneck's family.
        state: ``fires``, ``silent``, ``unknown`` (an input was not measured) or ``error``.
        title: The failing state in a few words.
        healthy: It names the wanted limiter, rather than something to repair.
        severity: "minor", "major" or "critical" where it fires, else None.
        share: Fraction of the step that is lost to it, 0-1, or None where it does not fire.
        share_basis: Where the share comes from.
        raw_share: What the measured phases alone say, as if nothing else would take their place; evidence.
        share_interval: 95 % interval of the share, from those of the measurements; None where they have none.
        text: The evidence in one or two sentences.
        evidence: The measurements behind it.
        missing: Ids of inputs whose absence keeps it unknown, sorted.
        false_positives: When the rule is known to be wrong.
        sources: Papers, documentation.
        error: What went wrong in the rule itself, or None.
    """

    rule: str
    bottleneck: str
    family: str
    state: State
    title: str
    healthy: bool = False
    severity: str | None = None
    share: float | None = None
    share_basis: Basis = "unknown"
    share_interval: tuple[float, float] | None = None
    raw_share: float | None = None
    text: str = ""
    evidence: tuple[Evidence, ...] = ()
    missing: tuple[str, ...] = ()
    false_positives: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    error: str | None = None
