"""Something to do about a bottleneck, priced for one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .finding import Basis, Interval
from .trial import Change, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """One mitigation as the report offers it.

    Attributes:
        id: Id of the mitigation, for ever.
        title: What to do, with the numbers of this run.
        bottleneck: The bottleneck it addresses here.
        kind: "system" or "algorithmic".
        taxonomy: ``component``, ``subcomponent``, ``action``, ``mechanism`` of the survey; None for system.
        shen: ``category`` and ``section`` of the second survey.
        currency: "time_per_step" or "number_of_steps"; gains of the two are never mixed.
        speedup: Old over new time (of a step, or of the training for fewer steps); None where unknown.
        basis: Where ``speedup`` comes from.
        next_wall: The bottleneck that limits the step afterwards, where the prediction says so.
        effort: "config", "small", "medium" or "large".
        numerics: "identical", "reordered", "changed" or "semantics".
        risk: What may go wrong, one sentence each.
        summary: How it works.
        snippet: Code to copy, with the numbers of this run.
        evidence: Who showed it, as (claim, source, basis).
        sources: Titles or links.
        changes: What carries it out on the unmodified script; empty where nothing can.
        predicted: What was predicted, where a trial was made; ``speedup`` is then what it measured.
        trial: The trial that was made of it.
    """

    id: str
    title: str
    bottleneck: str
    kind: str
    taxonomy: Mapping[str, str] | None
    shen: Mapping[str, str] | None
    currency: str
    speedup: Interval | None
    basis: Basis
    effort: str
    numerics: str
    risk: tuple[str, ...]
    summary: str
    snippet: str
    evidence: tuple[tuple[str, str, str], ...] = ()
    sources: tuple[str, ...] = ()
    next_wall: str | None = None
    changes: tuple[Change, ...] = ()
    predicted: Interval | None = None
    trial: Trial | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A mitigation that addresses the bottleneck but does not fit this run, and why."""

    id: str
    title: str
    bottleneck: str
    reason: str
