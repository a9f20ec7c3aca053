"""Tests of mitigations as data: what was measured, and whether the mitigation then applies."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ..diagnose.cases import check_given, given_measurements
from ..diagnose.decode import decode
from ..diagnose.scope import open_scope
from ..model.finding import Finding, Interval
from ..model.report import FAMILY_OF
from ..predict.foreseen import with_predictions
from .engine import CAPACITY, price
from .mitigation import MitigationRule

TOLERANCE = 0.005  # relative; numbers in tests are written with three digits


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether it applies, values of ``let`` names, the range of the gain; left out is not compared."""

    applies: bool | Literal["unknown"]
    let: dict[str, float] = {}
    speedup: tuple[float, float] | Literal["unknown"] | None = None


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One case."""

    name: str
    given: dict[str, Any]
    expect: Expected


class CaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one ``.test.yaml`` beside a mitigation says; ``base`` is given in every case."""

    mitigation: str
    cases: tuple[Case, ...]
    base: dict[str, Any] = {}


def parse_cases(text: str, filename: str) -> CaseFile:
    """Return the cases written in ``text``; RuleError where one names an unknown measurement."""
    cases = decode(text, filename, CaseFile)
    for given in (cases.base, *(case.given for case in cases.cases)):
        check_given(given, filename)
    return cases


def failures(rule: MitigationRule, case: Case, base: dict[str, Any]) -> tuple[str, ...]:
    """Return one line for each thing that comes out otherwise than ``case`` expects.

    ``speedup`` holds the least and the most that the price may say (or that it says nothing), for the first
    bottleneck that the mitigation addresses and time can price, and without the bound that its finding would set.
    """
    scope = open_scope(with_predictions(given_measurements({**base, **case.given})), rule.let)
    answers = [condition.test.truth(scope.lookup) for condition in rule.applies]
    applies: bool | str = False if False in answers else "unknown" if None in answers else True
    found = [] if applies == case.expect.applies else [f"applies is {applies}, not {case.expect.applies}"]
    for name, wanted in case.expect.let.items():
        value = scope.lookup(name)
        if value is None or abs(float(value) - wanted) > TOLERANCE * abs(wanted):
            found.append(f"let {name} is {value}, not {wanted}")
    if case.expect.speedup is not None:
        gain = price(rule, [_any_finding(rule)], scope).speedup
        if not _is_as_wanted(gain, case.expect.speedup):
            found.append(f"speedup is {gain and round(gain.likely, 3)}, not {case.expect.speedup}")
    return tuple(found)


def _is_as_wanted(gain: Interval | None, wanted: tuple[float, float] | str) -> bool:
    """Return whether a price says what a case wants."""
    if isinstance(wanted, str) or gain is None:
        return isinstance(wanted, str) and gain is None
    return wanted[0] <= gain.likely <= wanted[1]


def _any_finding(rule: MitigationRule) -> Finding:
    """Return a finding that costs all of the step, of the first bottleneck addressed that time can price."""
    first = next((one for one in rule.addresses if one not in CAPACITY), rule.addresses[0])
    return Finding(rule=first, bottleneck=first, family=FAMILY_OF[first], state="fires", title="", share=1.0)
