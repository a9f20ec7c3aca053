"""A mitigation: what to do about a bottleneck, when it makes sense, and who showed that it works."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ..analyze.catalogue import CATALOGUE, LABELS
from ..diagnose.decode import (
    check_choice,
    check_expressions,
    check_identifier,
    check_let,
    check_placeholders,
    decode,
)
from ..diagnose.expression import Expression, did_you_mean
from ..diagnose.sentence import code_placeholders
from ..errors import RuleError
from ..model.overrides import OVERRIDES
from ..model.report import FAMILY_OF
from ..predict.models import MODELS

Component = Literal["function", "data", "optimization"]
Action = Literal["remove", "restrict", "reorder", "replace", "retrofit"]
RangeBasis = Literal["evidence", "derived", "memory", "judgement", "none"]

SHOWN = ("evidence", "derived")  # bases of a range that may be printed as a figure


class TaxonomyPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the survey puts a method: component and action, and by which mechanism it decides."""

    component: Component
    subcomponent: str
    action: Action
    timing: Literal["static", "dynamic"] | None = None
    information: Literal["domain-knowledge", "learning-based"] | None = None


class ShenPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the second survey puts it."""

    category: Literal["data", "model", "optimization", "budgeted", "system"]
    section: str


class Effect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What it does to the time of an iteration, their number, memory and cost, in words."""

    time_per_iteration: str
    iterations: str
    memory: str
    cost: str


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something that must hold for it to make sense, and what to say where it does not."""

    test: Expression
    otherwise: str


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The speed-up the literature reports, of a phase, a step or a training."""

    scope: Literal["phase", "step", "total"]
    range: tuple[float, float] | None
    basis: RangeBasis


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One piece of evidence."""

    claim: str
    source: str
    basis: str


class EstimateSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"arguments": "with"}):
    """Which model prices it, with which arguments, and when ``only``; else, or where one is unknown, ``fallback``."""

    model: str
    arguments: dict[str, Expression] = {}
    only: Expression | None = None
    fallback: EstimateSpec | None = None

    @property
    def chain(self) -> tuple[EstimateSpec, ...]:
        """Return it and what comes after it, first first."""
        return (self, *(self.fallback.chain if self.fallback is not None else ()))


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"kind": "class"}):
    """Whether and how a trial can apply it: class A keeps results, B changes rounding, C what is learned."""

    possible: Literal["yes", "partly", "no"]
    kind: Literal["A", "B", "C"]
    how: str
    verify: str
    overrides: dict[str, dict[str, Expression]] = {}


class MitigationRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one file under ``rules/mitigations/`` says.

    Attributes:
        id: Name of the file, for ever.
        title: What to do; ``{name}`` is replaced by this run's number.
        kind: "system", or "algorithmic" with a place in the taxonomy.
        taxonomy: Its place in the survey, None for system.
        taxonomy_also: Other places that fit.
        shen: Its place in the second survey.
        addresses: Bottlenecks it helps against.
        worsens: Bottlenecks it makes worse.
        currency: Whether it shortens a step or cuts their number; the two are never mixed.
        effect: In words.
        effort: From a setting to a project.
        numerics: What happens to the results, least first.
        quality_risk: In words.
        let: Names of its own, each may read those before it.
        applies: What must hold.
        summary: How it works.
        snippet: Code; ``<<name>>`` is replaced by this run's number.
        risks: What may go wrong.
        expected: What the literature reports.
        evidence: Who showed what.
        estimate: How it is priced.
        trial: How it could be proved.
        sources: Titles or links.
    """

    id: str
    title: str
    kind: Literal["system", "algorithmic"]
    taxonomy: TaxonomyPath | None
    addresses: tuple[str, ...]
    currency: Literal["time_per_step", "number_of_steps"]
    effect: Effect
    effort: Literal["config", "small", "medium", "large"]
    numerics: Literal["identical", "reordered", "changed", "semantics"]
    quality_risk: str
    summary: str
    snippet: str
    risks: tuple[str, ...]
    expected: Expected
    estimate: EstimateSpec
    trial: Trial
    sources: tuple[str, ...]
    shen: ShenPlace | None = None
    taxonomy_also: tuple[TaxonomyPath, ...] = ()
    worsens: tuple[str, ...] = ()
    let: dict[str, Expression] = {}
    applies: tuple[Condition, ...] = ()
    evidence: tuple[Claim, ...] = ()

    @property
    def paths(self) -> tuple[TaxonomyPath, ...]:
        """Return every place it has in the survey's taxonomy, the main one first."""
        return (() if self.taxonomy is None else (self.taxonomy,)) + self.taxonomy_also


def parse_mitigation(text: str, filename: str) -> MitigationRule:
    """Return the mitigation written in ``text``.

    Args:
        text: YAML, untrusted.
        filename: For errors.

    Raises:
        RuleError: One line with file, field, what is wrong and the nearest right name.
    """
    rule = decode(text, filename, MitigationRule)
    check_identifier(rule.id, "id", filename)
    for field, names in (("addresses", rule.addresses), ("worsens", rule.worsens)):
        for name in names:
            check_choice(name, FAMILY_OF, field, filename)
    known = check_let(rule.let, CATALOGUE, filename)
    tests = {f"applies[{i}]": [one.test] for i, one in enumerate(rule.applies)}
    arguments = {
        f"{_field(place)}.with.{name}": [one]
        for place, spec in enumerate(rule.estimate.chain)
        for name, one in spec.arguments.items()
    }
    only = {
        f"{_field(place)}.only": [spec.only]
        for place, spec in enumerate(rule.estimate.chain)
        if spec.only is not None
    }
    check_expressions({**tests, **arguments, **only, **_settings(rule.trial)}, known, filename)
    _check_texts(rule, known | set(LABELS), filename)
    for place, spec in enumerate(rule.estimate.chain):
        _check_model(spec, _field(place), filename)
    _check_claims(rule, filename)
    _check_overrides(rule.trial, filename)
    return rule


def _settings(trial: Trial) -> dict[str, list[Expression]]:
    """Return the expressions of a trial's settings by field."""
    return {
        f"trial.overrides.{override}.{name}": [one]
        for override, settings in trial.overrides.items()
        for name, one in settings.items()
    }


def _check_overrides(trial: Trial, where: str) -> None:
    """Raise RuleError where a trial names an override or a setting there is none of, or one it may not offer."""
    for override, settings in trial.overrides.items():
        field = "trial.overrides"
        check_choice(override, OVERRIDES, field, where)
        for name in settings:
            check_choice(name, OVERRIDES[override].settings, f"{field}.{override}", where)
        if OVERRIDES[override].what_if:
            raise RuleError(f"{where}: {field}: {override} is a what-if, which proves nothing: leave it out")
    if trial.overrides and (trial.possible == "no" or trial.kind == "C"):
        raise RuleError(f"{where}: trial: what has overrides is possible, and of class A or B")


def _check_texts(rule: MitigationRule, known: set[str], where: str) -> None:
    """Raise RuleError where a text names something unknown."""
    texts = {"title": [rule.title], "summary": [rule.summary], "risks": rule.risks}
    check_placeholders(texts, known, where)
    for name in code_placeholders(rule.snippet):
        if name not in known:
            raise RuleError(f"{where}: snippet: unknown name '{name[:80]}'{did_you_mean(name, known)}")


def _field(place: int) -> str:
    """Return the field of an estimate that stands at ``place`` of a chain."""
    return "estimate" + place * ".fallback"


def _check_model(spec: EstimateSpec, field: str, where: str) -> None:
    """Raise RuleError where an estimate names no model or not its arguments."""
    check_choice(spec.model, MODELS, f"{field}.model", where)
    model = MODELS[spec.model]
    given: Any = spec.arguments
    for name in given:
        check_choice(name, sorted(model.needs | model.takes), f"{field}.with", where)
    for name in sorted(model.needs):
        if name not in given:
            raise RuleError(f"{where}: {field}.with: {spec.model} needs '{name}'")


def _check_claims(rule: MitigationRule, where: str) -> None:
    """Raise RuleError where a figure is offered that nothing supports, or a taxonomy place is missing."""
    expected = rule.expected
    if (expected.range is None) is not (expected.basis == "none"):
        raise RuleError(f"{where}: expected: a range needs a basis, and basis none has no range")
    if expected.range is not None and not 0 < expected.range[0] <= expected.range[1]:
        raise RuleError(f"{where}: expected.range: needs 0 < low <= high")
    if any(spec.model == "literature" for spec in rule.estimate.chain) and expected.basis not in SHOWN:
        raise RuleError(f"{where}: estimate.model: literature needs expected.basis evidence or derived")
    if rule.kind == "algorithmic" and rule.taxonomy is None:
        raise RuleError(f"{where}: taxonomy: an algorithmic mitigation needs its place")
