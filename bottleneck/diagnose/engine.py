"""Every rule asked about the measurements of one run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..analyze.catalogue import CATALOGUE
from ..model.finding import ALIKE, Evidence, Finding
from ..model.measurement import Measurements
from .ceiling import Cost, cost_of, hides_nothing, resource_of
from .rule import BottleneckRule
from .scope import Scope, open_scope
from .sentence import fill

SPECIFIC_ENOUGH = 0.5  # a finding that explains half of a generic one names the cause of most of it

_Judged = tuple[BottleneckRule, Finding]
_STATES = ("fires", "unknown", "silent", "error")


def judge(measurements: Measurements, rules: Iterable[BottleneckRule]) -> tuple[Finding, ...]:
    """Return one finding per rule: those that fire first, the largest share of the step first.

    A finding that names a cause comes before the generic one of its family if it explains at least
    half of it, and what needs repair comes before what is healthy. Of shares that are alike, one that taking the
    cause away has shown comes first. A rule that raises gives a finding in state ``error`` and leaves the others alone.
    """
    judged = [(rule, _guarded(measurements, rule)) for rule in rules]
    judged.sort(key=lambda pair: _order(pair[0], pair[1]))
    return tuple(finding for _, finding in _measured_first(_specific_first(judged)))


def _order(rule: BottleneckRule, finding: Finding) -> tuple[int, bool, float, str]:
    """Return the sort key of a finding."""
    return _STATES.index(finding.state), rule.healthy, -(finding.share or 0.0), rule.id


def _specific_first(judged: Sequence[_Judged]) -> list[_Judged]:
    """Move the findings that explain half of a generic one of their family in front of it."""
    ordered = list(judged)
    for generic in judged:
        if not generic[0].generic or generic[1].state != "fires":
            continue
        for specific in [pair for pair in ordered if _explains(pair, generic)]:
            if ordered.index(specific) > ordered.index(generic):
                ordered.remove(specific)
                ordered.insert(ordered.index(generic), specific)
    return ordered


def _measured_first(judged: list[_Judged]) -> list[_Judged]:
    """Move the first finding with a measured ceiling to the top where the top's share is not measured, but alike."""
    _, top = judged[0] if judged else (None, None)
    if top is None or top.state != "fires" or top.share_basis == "ceiling":
        return judged
    for number, (rule, finding) in enumerate(judged):
        alike = (finding.share or 0.0) >= (top.share or 0.0) - ALIKE
        if finding.state == "fires" and not rule.healthy and finding.share_basis == "ceiling" and alike:
            return [judged[number], *judged[:number], *judged[number + 1 :]]
    return judged


def _explains(pair: _Judged, generic: _Judged) -> bool:
    """Return whether ``pair`` is a specific finding behind at least half of ``generic``."""
    (rule, finding), (other, whole) = pair, generic
    if rule.generic or rule.family != other.family or finding.state != "fires":
        return False
    return (finding.share or 0.0) >= SPECIFIC_ENOUGH * (whole.share or 0.0)


def _guarded(measurements: Measurements, rule: BottleneckRule) -> Finding:
    """Return the rule's finding; whatever goes wrong in the rule becomes state ``error``."""
    try:
        return _judge_one(measurements, rule)
    except Exception as error:  # one rule's fault must not cost the others their answer
        return Finding(
            rule=rule.id,
            bottleneck=rule.bottleneck,
            family=rule.family,
            state="error",
            title=rule.title,
            error=f"{type(error).__name__}: {error}",
        )


def _judge_one(measurements: Measurements, rule: BottleneckRule) -> Finding:
    """Return what ``rule`` says of the run."""
    scope = open_scope(measurements, rule.let)
    holds = _holds(scope, rule)
    share = rule.share.number(scope.lookup) if holds else None
    cost = cost_of(measurements, rule, share) if holds or rule.generic else None
    inputs = scope.inputs(rule.expressions)
    base = Finding(
        rule=rule.id,
        bottleneck=rule.bottleneck,
        family=rule.family,
        state="silent",
        title=rule.title,
        healthy=rule.healthy,
        evidence=_evidence(measurements, (*inputs, *rule.show, *_experiment(rule))),
        false_positives=rule.false_positives,
        sources=rule.sources,
    )
    if cost is not None and (share is not None or (rule.generic and cost.clear)):
        return _by_experiment(base, rule, scope, share, cost)
    if holds is None or (holds and share is None):
        unknown = [one for one in rule.expressions if one.evaluate(scope.lookup) is None]
        return replace(base, state="unknown", missing=scope.missing(scope.inputs(unknown)))
    severity = rule.severity.of(min(share, 1.0)) if share is not None else None
    if share is None or severity is None:
        return base
    return replace(
        base,
        state="fires",
        severity=severity,
        share=min(share, 1.0),
        share_basis=rule.share_basis,
        share_interval=_interval(measurements, rule, inputs, share),
        raw_share=min(share, 1.0),
        text=_say(scope, rule),
    )


def _by_experiment(
    base: Finding, rule: BottleneckRule, scope: Scope, raw: float | None, cost: Cost
) -> Finding:
    """Return the finding where the resource was taken away: what that gained is the share, not the phase's own."""
    raw = None if raw is None else min(raw, 1.0)
    severity = rule.severity.of(cost.share)
    if severity is None:
        noticed = raw is not None and rule.severity.of(raw) is not None
        return replace(base, raw_share=raw, text=hides_nothing(raw or 0.0, cost) if noticed else "")
    return replace(
        base,
        state="fires",
        severity=severity,
        share=cost.share,
        share_basis=cost.basis,
        share_interval=cost.interval,
        raw_share=raw,
        text=f"{_say(scope, rule)} {cost.text}".strip(),
    )


def _say(scope: Scope, rule: BottleneckRule) -> str:
    """Return the sentences that have all their values, of alternatives the first."""
    said = (next(filter(None, (fill(one, scope.words) for one in group)), None) for group in rule.sentences)
    return " ".join(filter(None, said))


def _holds(scope: Scope, rule: BottleneckRule) -> bool | None:
    """Return whether all of ``when`` and none of ``unless`` holds; None where that is unknown."""
    answers = [condition.truth(scope.lookup) for condition in rule.when]
    answers += [
        None if (no := condition.truth(scope.lookup)) is None else not no for condition in rule.unless
    ]
    if False in answers:
        return False
    return None if None in answers else True


def _evidence(measurements: Measurements, names: Iterable[str]) -> tuple[Evidence, ...]:
    """Return what was measured of ``names``, each once."""
    found = (measurements.get(name) for name in dict.fromkeys(names))
    return tuple(
        Evidence(
            id=one.id,
            value=one.value,
            unit=one.unit,
            meaning=CATALOGUE[one.id].meaning,
            samples=one.samples,
            given_by=one.given_by,
            interval=one.interval,
        )
        for one in found
        if one is not None
    )


def _experiment(rule: BottleneckRule) -> tuple[str, ...]:
    """Return the measurements of the experiment on the rule's resource."""
    resource = resource_of(rule)
    return () if resource is None else (f"ceiling.{resource}_frac", f"ceiling.{resource}_s")


def _interval(
    measurements: Measurements, rule: BottleneckRule, inputs: Iterable[str], share: float
) -> tuple[float, float] | None:
    """Return the 95 % interval of the share, or None where no input has one.

    Each input goes to the ends of its interval alone; the deviations add in quadrature, as for
    independent errors.
    """
    down = up = 0.0
    seen = False
    for name in inputs:
        measured = measurements.get(name)
        if measured is None or measured.interval is None:
            continue
        seen = True
        ends = (_share_at(measurements, rule, name, end) for end in measured.interval)
        moved = [0.0 if end is None else end - share for end in ends]
        down += min(*moved, 0.0) ** 2
        up += max(*moved, 0.0) ** 2
    if not seen:
        return None
    return max(0.0, share - math.sqrt(down)), min(1.0, share + math.sqrt(up))


def _share_at(measurements: Measurements, rule: BottleneckRule, name: str, value: float) -> float | None:
    """Return the share if ``name`` were ``value``."""
    moved = {**measurements.values_by_id, name: replace(measurements[name], value=value)}
    return rule.share.number(open_scope(Measurements(values_by_id=moved), rule.let).lookup)
