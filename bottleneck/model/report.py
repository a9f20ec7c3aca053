"""The report: every output is a view of it, and ``report.json`` is it, key for key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .finding import Finding, Interval
from .mitigation import Advice, Rejected
from .trial import Trial

SCHEMA = 1
PHASES = (
    "data_wait",
    "h2d",
    "forward",
    "backward",
    "optimizer",
    "communication",
    "sync",
    "checkpoint",
    "evaluation",
    "logging",
    "gc",
    "other",
)
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "input": ("dataloader", "cpu_preprocessing", "storage", "h2d_transfer"),
    "device": ("compute", "memory_bandwidth", "memory_capacity", "optimizer"),
    "host": ("host_overhead", "sync", "gc", "compilation", "host_memory"),
    "communication": ("communication", "straggler"),
    "stall": ("checkpoint", "evaluation", "logging"),
}
FAMILY_OF: Mapping[str, str] = {leaf: family for family, leaves in FAMILIES.items() for leaf in leaves}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer in one object.

    Attributes:
        bottleneck: Id, or None where nothing could be said.
        family: Its family.
        state: ``bottleneck``, ``healthy`` or ``insufficient``.
        result: Named result where there is no verdict: NO_TORCH, NO_STEPS, TOO_FEW_STEPS, ... else "OK".
        share: Fraction of the step it costs, 0-1.
        share_basis: Where the share comes from.
        ceiling_speedup: The most that any fix of it can gain.
        confidence: "high", "medium" or "low".
        headline: One or two sentences for somebody who never profiled anything.
        reasons: What limits the confidence, one sentence each.
    """

    bottleneck: str | None
    family: str | None
    state: Literal["bottleneck", "healthy", "insufficient"]
    result: str
    share: float | None
    share_basis: str
    ceiling_speedup: Interval | None
    confidence: Literal["high", "medium", "low"]
    headline: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseShare:
    """One phase of the mean step: seconds per step and share of its wall time."""

    phase: str
    seconds: float
    share: float
    made_of: tuple[tuple[str, float], ...] = ()  # where stacks tell: (text, share of the step)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSummary:
    """The steps that were measured.

    Attributes:
        count: Steps the statistics rest on (warm-up and disturbed steps left out).
        seen: Steps seen in all.
        excluded: Steps left out, by reason.
        seconds: ``median``, ``mean``, ``p05``, ``p95``, ``min``, ``max`` of their wall time.
        phases: Shares of the mean step; they sum to 1.
        definition: What a step is in this run, in words.
    """

    count: int
    seen: int
    excluded: Mapping[str, int]
    seconds: Mapping[str, float]
    phases: tuple[PhaseShare, ...]
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The best advice that leaves results as they are, all of it at once.

    Attributes:
        advice: Ids of the mitigations, best first, at least two.
        speedup: Old over new time of a step with all of them.
        after_s: Likely mean step with all of them, in seconds.
        basis: Where that comes from.
        next_wall: The bottleneck that limits the step then.
    """

    advice: tuple[str, ...]
    speedup: Interval
    after_s: float
    basis: str = "simulation"
    next_wall: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLine:
    """A part of the run's wall time; all lines together are the whole of it."""

    name: str
    seconds: float
    share: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmeasured:
    """Something that was not measured or not judged, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole answer. Field names are the top-level keys of ``report.json``.

    Attributes:
        verdict: The answer.
        step: Where a step's time goes; None where no step was seen.
        findings: One for each rule, those that fire first, largest share first.
        mitigations: What would help, best first.
        plan: What the best of them gain together; None where that can not be simulated.
        rejected: What was considered and does not fit, with the reason.
        not_evaluated: Rules and measurements that lacked an input.
        ceilings: Step time with one resource taken away, where an experiment measured it.
        efficiency: Metrics of the survey's section 2.2 that could be had.
        ranks: One entry per rank.
        environment: Machine and versions.
        overhead: What measuring cost.
        run: Command, times, outcome, and ``account``: where the run's whole wall time went.
        measurements: Every measurement by id, so that other tools need not read the record.
        trials: What trials of the advice found.
        pictures: Data behind the pictures (step series, worker split, hot lines), ready to draw.
        schema: Version of these keys.
    """

    verdict: Verdict
    step: StepSummary | None
    findings: tuple[Finding, ...]
    mitigations: tuple[Advice, ...]
    rejected: tuple[Rejected, ...]
    not_evaluated: tuple[Unmeasured, ...]
    plan: Plan | None = None
    ceilings: tuple[Mapping[str, Any], ...] = ()
    efficiency: Mapping[str, Any] = field(default_factory=dict)
    ranks: tuple[Mapping[str, Any], ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    overhead: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)
    measurements: Mapping[str, Any] = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    pictures: Mapping[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA
