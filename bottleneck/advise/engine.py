"""From what was found to what to do: which mitigations fit this run, and what each would gain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..diagnose.scope import Scope, open_scope
from ..diagnose.sentence import fill_code, fill_or
from ..model.finding import Finding, Interval
from ..model.measurement import Measurements
from ..model.mitigation import Advice, Rejected
from ..model.overrides import fault
from ..model.trial import Change
from ..predict.foreseen import with_predictions
from ..predict.models import UNKNOWN, Estimate, Known, Published, Question, estimate
from ..predict.relief import phases_named
from .mitigation import SHOWN, MitigationRule, TaxonomyPath
from .ranking import is_healthy, ranked

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
    return not is_healthy(finding) or rule.kind == "algorithmic"


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
    if rule.currency == "time_per_step" and gain is not None and max(gain.likely, gain.high) < WORTH_IT:
        return _reject(rule, finding, scope, "it would gain less than 1 % of the step in this run")
    return Offer(rule, finding, scope, priced, _unchecked(rule, scope))


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
    arguments = {name: one.number(scope.lookup) for name, one in rule.estimate.arguments.items()}
    return estimate(
        rule.estimate.model,
        Question(
            measurements=scope.measurements,
            arguments=arguments,
            bottleneck=finding.bottleneck,
            share=max(one.share or 0.0 for one in addressed),
            published=published,
            fewer_steps=rule.currency == "number_of_steps",
            known=_known(finding),
            phases=phases_named(scope.inputs(rule.estimate.arguments.values())),
        ),
    )


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
        risk=(*offer.unchecked, *risks, *quality),
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
