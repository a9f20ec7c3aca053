"""Tests of bottleneck rules as data: what was measured, and what the rule must say of it."""

from __future__ import annotations

from typing import Any

import msgspec

from ..analyze.catalogue import CATALOGUE, LABELS
from ..errors import RuleError
from ..model.finding import Finding, State
from ..model.measurement import Measurement, Measurements
from .decode import check_choice, decode
from .engine import judge
from .rule import BottleneckRule

TOLERANCE = 0.005  # shares in tests are written with two or three digits


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the finding must be; what is left out is not compared."""

    state: State
    share: float | None = None
    severity: str | None = None
    missing: tuple[str, ...] | None = None
    says: tuple[str, ...] = ()


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One case: measurements and labels by name, and what must come of them."""

    name: str
    given: dict[str, Any]
    expect: Expected


class CaseFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one ``.test.yaml`` beside a bottleneck rule says; ``base`` is given in every case."""

    rule: str
    cases: tuple[Case, ...]
    base: dict[str, Any] = {}


def parse_cases(text: str, filename: str) -> CaseFile:
    """Return the cases written in ``text``; RuleError where one names an unknown measurement."""
    cases = decode(text, filename, CaseFile)
    for given in (cases.base, *(case.given for case in cases.cases)):
        check_given(given, filename)
    return cases


def check_given(given: dict[str, Any], filename: str) -> None:
    """Raise RuleError unless ``given`` holds numbers for measurements and text for labels."""
    for name, value in given.items():
        check_choice(name, [*CATALOGUE, *LABELS], "given", filename)
        if value is not None and isinstance(value, str) is not (name in LABELS):
            raise RuleError(f"{filename}: given.{name}: needs {'text' if name in LABELS else 'a number'}")


def given_measurements(given: dict[str, Any]) -> Measurements:
    """Return measurements with the values of ``given``; null means not measured."""
    values = {
        name: Measurement(
            id=name,
            value=float(value),
            unit=CATALOGUE[name].unit,
            samples=100,
            given_by=CATALOGUE[name].given_by,
        )
        for name, value in given.items()
        if name in CATALOGUE and value is not None
    }
    return Measurements(values_by_id=values, labels={name: given[name] for name in given if name in LABELS})


def failures(rule: BottleneckRule, case: Case, base: dict[str, Any]) -> tuple[str, ...]:
    """Return one line for each thing that ``rule`` says otherwise than ``case`` expects."""
    (finding,) = judge(given_measurements({**base, **case.given}), [rule])
    return tuple(_differences(finding, case.expect))


def _differences(finding: Finding, expect: Expected) -> list[str]:
    """Return what differs between a finding and what was expected of it."""
    found: list[str] = []
    if finding.state != expect.state:
        found.append(f"state is {finding.state}, not {expect.state}{_why(finding)}")
    if expect.share is not None and abs((finding.share or 0.0) - expect.share) > TOLERANCE:
        found.append(f"share is {finding.share}, not {expect.share}")
    if expect.severity is not None and finding.severity != expect.severity:
        found.append(f"severity is {finding.severity}, not {expect.severity}")
    if expect.missing is not None and finding.missing != expect.missing:
        found.append(f"missing is {list(finding.missing)}, not {list(expect.missing)}")
    found.extend(
        f"does not say {text!r}: {finding.text!r}" for text in expect.says if text not in finding.text
    )
    return found


def _why(finding: Finding) -> str:
    """Return the error of a finding, or what it lacked."""
    if finding.error:
        return f" ({finding.error})"
    return f" (not measured: {', '.join(finding.missing)})" if finding.state == "unknown" else ""
