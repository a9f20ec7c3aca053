"""From what was found to what to do: which mitigations fit this run, and what each would gain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from .. import units
from ..diagnose.scope import Scope, open_scope
from ..diagnose.sentence import fill_code, fill_or
from ..model.finding import Finding, Interval
from ..model.measurement import Measurement, Measurements
from ..model.mitigation import Advice, Rejected
from ..model.overrides import fault
from ..model.trial import Change
from ..predict.estimate import UNKNOWN, Estimate
from ..predict.foreseen import with_predictions
from ..predict.measured import Known
from ..predict.models import estimate
from ..predict.question import Arguments, Published, Question
from ..predict.relief import phases_named
from .mitigation import SHOWN, EstimateSpec, MitigationRule, TaxonomyPath
from .ranking import ranked

# What frees memory saves time only by the batch or the workers it makes room for, and no model here knows that.
CAPACITY = frozenset({"memory_capacity", "host_memory"})
WORTH_IT = 1.01  # a smaller speed-up is less than any trial could prove (causal.md, c)
BLANK = "..."  # stands for a number of this run that was not measured


@dataclass(frozen=True, slots=True)
class Offer:
    """A mitigation with the finding it is offered for and its price."""

    rule: MitigationRule
    finding: Finding
    scope: Scope
    estimate: Estimate
    unchecked: tuple[str, ...]
    notes: tuple[str, ...] = ()


def advise(
    findings: Sequence[Finding], measurements: Measurements, mitigations: Iterable[MitigationRule]
) -> tuple[tuple[Advice, ...], tuple[Rejected, ...]]:
    """Return what to do, best first, and what was considered but does not fit, with the reason.

    Considered is every mitigation that addresses a bottleneck whose rule fires. Ranked by what each would
    save, weighed by what happens to the results and by effort (``ranking``); unknown gains come last.
    Gains are of each alone and never added.
    """
    best, rejected = offers(findings, measurements, mitigations)
    return tuple(_advice(offer) for offer in best), tuple(sorted(rejected, key=lambda one: one.id))


def offers(
    findings: Sequence[Finding], measurements: Measurements, mitigations: Iterable[MitigationRule]
) -> tuple[list[Offer], list[Rejected]]:
    """Return what fits with its price, best first, and what does not."""
    measurements = with_predictions(measurements)
    firing = [finding for finding in findings if finding.state == "fires"]
    fitting: list[Offer] = []
    rejected: list[Rejected] = []
    for rule in mitigations:
        addressed = [one for one in firing if _relevant(rule, one)]
        if not addressed:
            continue
        offer = _consider(rule, addressed, firing, measurements)
        if isinstance(offer, Rejected):
            rejected.append(offer)
        else:
            fitting.append(offer)
    order = {finding.rule: index for index, finding in enumerate(firing)}
    return ranked(fitting, lambda offer: order[offer.finding.rule]), rejected


def _relevant(rule: MitigationRule, finding: Finding) -> bool:
    """Return whether ``rule`` helps against ``finding``; a healthy run is offered only less work."""
    if finding.bottleneck not in rule.addresses:
        return False
    return not finding.healthy or rule.kind == "algorithmic"


def _consider(
    rule: MitigationRule, addressed: Sequence[Finding], firing: Sequence[Finding], measurements: Measurements
) -> Offer | Rejected:
    """Return the offer, or why it does not fit."""
    finding = addressed[0]
    scope = open_scope(measurements, rule.let)
    for condition in rule.applies:
        if condition.test.truth(scope.lookup) is False:
            return _reject(rule, finding, scope, condition.otherwise)
    worse = _worse(rule, addressed, firing)
    if worse is not None:
        return _reject(rule, finding, scope, f"it makes {worse.bottleneck} worse, which costs as much")
    priced = price(rule, addressed, scope)
    gain = priced.speedup
    if rule.currency == "time_per_step" and gain is not None and _most(priced, gain) < WORTH_IT:
        return _reject(rule, finding, scope, _too_little(priced))
    return Offer(rule, finding, scope, priced, _unchecked(rule, scope), _notes(rule, priced, scope))


def _most(priced: Estimate, gain: Interval) -> float:
    """Return the speed-up that has to be worth it: the largest possible, but the likely one where it was measured."""
    return gain.likely if priced.basis == "replay" else max(gain.likely, gain.high)


def _too_little(priced: Estimate) -> str:
    """Return why what would gain next to nothing is not offered."""
    less = "it would gain less than 1 % of the step in this run"
    if priced.saved_s is None:
        return less
    if priced.saved_s == 0:
        return f"no operator of this run would be called otherwise: {less}"
    if priced.saved_s < 0:
        return (
            f"called again that way, this run's operators took {units.seconds(-priced.saved_s)} a step longer"
        )
    return f"called again that way, this run's operators saved {units.seconds(priced.saved_s)} a step: {less}"


def _notes(rule: MitigationRule, priced: Estimate, scope: Scope) -> tuple[str, ...]:
    """Return that a figure does not rest on calls made again where it could, and why."""
    if rule.estimate.model != "again" or priced.basis == "replay":
        return ()
    missing = scope.missing(scope.inputs(rule.estimate.arguments.values()))
    replays = [name for name in missing if name.startswith("replay.")]
    return tuple(
        f"Not timed again on this machine: {scope.measurements.why_missing(n)}." for n in replays[:1]
    )


def _reject(rule: MitigationRule, finding: Finding, scope: Scope, reason: str) -> Rejected:
    """Return the mitigation as considered and rejected."""
    return Rejected(
        id=rule.id,
        title=fill_or(rule.title, scope.words, BLANK),
        bottleneck=finding.bottleneck,
        reason=reason,
    )


def _worse(rule: MitigationRule, addressed: Sequence[Finding], firing: Sequence[Finding]) -> Finding | None:
    """Return a finding that ``rule`` makes worse and that costs at least what it could gain."""
    most = max(finding.share or 0.0 for finding in addressed)
    return next(
        (one for one in firing if one.bottleneck in rule.worsens and (one.share or 0.0) >= most), None
    )


def price(rule: MitigationRule, addressed: Sequence[Finding], scope: Scope) -> Estimate:
    """Return what ``rule`` would gain against the first of ``addressed``, bounded by the largest of them."""
    finding = addressed[0]
    if finding.bottleneck in CAPACITY:
        return UNKNOWN
    if rule.estimate.model == "loader" and finding.family != "input":
        return UNKNOWN  # the recursion knows of waiting for data and of nothing else
    expected = rule.expected
    published = None
    if expected.range is not None and expected.basis in SHOWN:
        published = Published(scope=expected.scope, low=expected.range[0], high=expected.range[1])
    question = Question(
        measurements=scope.measurements,
        arguments={},
        bottleneck=finding.bottleneck,
        share=max(one.share or 0.0 for one in addressed),
        published=published,
        fewer_steps=rule.currency == "number_of_steps",
        known=_known(finding),
    )
    usable = (s for s in rule.estimate.chain if s.only is None or s.only.truth(scope.lookup))
    found = (estimate(spec.model, _asked(question, spec, scope)) for spec in usable)
    return next((one for one in found if one.speedup is not None), UNKNOWN)


def _asked(question: Question, spec: EstimateSpec, scope: Scope) -> Question:
    """Return ``question`` with the arguments of one estimate."""
    return replace(
        question,
        arguments=_arguments(spec, scope),
        phases=phases_named(scope.inputs(spec.arguments.values())),
        ends=_ends(spec, scope),
    )


def _arguments(spec: EstimateSpec, scope: Scope) -> dict[str, float | None]:
    """Return the values of an estimate's arguments."""
    return {name: one.number(scope.lookup) for name, one in spec.arguments.items()}


def _ends(spec: EstimateSpec, scope: Scope) -> tuple[Arguments, Arguments] | None:
    """Return the arguments with all that was called again at the low, and at the high end of its interval."""
    names = [name for name in scope.inputs(spec.arguments.values()) if name.startswith("replay.")]
    measured = [one for name in names if (one := scope.measurements.get(name)) is not None and one.interval]
    if not measured:
        return None
    low, high = (
        _arguments(spec, open_scope(_moved(scope.measurements, measured, end), scope.let)) for end in (0, 1)
    )
    return low, high


def _moved(measurements: Measurements, some: Sequence[Measurement], end: int) -> Measurements:
    """Return ``measurements`` with ``some`` at one end of their intervals."""
    moved = {one.id: replace(one, value=one.interval[end]) for one in some if one.interval is not None}
    return replace(measurements, values_by_id={**measurements.values_by_id, **moved})


def _known(finding: Finding) -> Known | None:
    """Return what taking the bottleneck away gained, None where no experiment measured it."""
    if finding.share_basis != "ceiling" or finding.share is None or finding.raw_share is None:
        return None
    low, high = finding.share_interval or (finding.share, finding.share)
    return Known(raw=finding.raw_share, cost=Interval(low=low, likely=finding.share, high=high))


def _unchecked(rule: MitigationRule, scope: Scope) -> tuple[str, ...]:
    """Return one sentence for each condition that could not be tested."""
    sentences = []
    for condition in rule.applies:
        if condition.test.truth(scope.lookup) is None:
            names = ", ".join(scope.missing(scope.inputs([condition.test]))) or "a value"
            sentences.append(f"Not checked, because {names} is unknown here: whether {condition.otherwise}.")
    return tuple(sentences)


def _advice(offer: Offer) -> Advice:
    """Return the offer as the report shows it."""
    rule, words = offer.rule, offer.scope.words
    quality = () if rule.quality_risk.startswith("none") else (f"Risk to quality: {rule.quality_risk}.",)
    risks = tuple(fill_or(risk, words, BLANK) for risk in rule.risks)
    return Advice(
        id=rule.id,
        title=fill_or(rule.title, words, BLANK),
        bottleneck=offer.finding.bottleneck,
        kind=rule.kind,
        taxonomy=None if rule.taxonomy is None else place(rule.taxonomy),
        shen=None if rule.shen is None else {"category": rule.shen.category, "section": rule.shen.section},
        currency=rule.currency,
        speedup=offer.estimate.speedup,
        basis=offer.estimate.basis,
        next_wall=offer.estimate.next_wall,
        effort=rule.effort,
        numerics=rule.numerics,
        risk=(*offer.unchecked, *offer.notes, *risks, *quality),
        summary=fill_or(rule.summary, words, BLANK).strip(),
        snippet=fill_code(rule.snippet, offer.scope.code, BLANK),
        evidence=tuple((one.claim, one.source, one.basis) for one in rule.evidence if citable(one.basis)),
        sources=rule.sources,
        changes=changes(rule, offer.scope),
    )


def changes(rule: MitigationRule, scope: Scope) -> tuple[Change, ...]:
    """Return what carries ``rule`` out on this run; nothing where one of its settings is unknown or impossible here."""
    found = []
    for override, expressions in rule.trial.overrides.items():
        settings: dict[str, float] = {}
        for name, one in expressions.items():
            value = one.number(scope.lookup)
            if value is None:
                return ()
            settings[name] = value
        if fault(override, settings):
            return ()
        found.append(Change(mitigation=rule.id, override=override, settings=settings))
    return tuple(found)


def place(path: TaxonomyPath) -> dict[str, str]:
    """Return a place in the survey's taxonomy by ``component subcomponent action mechanism``."""
    mechanism = ", ".join(part for part in (path.timing, path.information) if part)
    return {
        "component": path.component,
        "subcomponent": path.subcomponent,
        "action": path.action,
        "mechanism": mechanism,
    }


def citable(basis: str) -> bool:
    """Return whether a claim may be shown: not what was only recalled or judged."""
    return basis not in ("memory", "judgement")
