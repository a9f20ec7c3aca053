"""No threshold, operator, condition or price of a rule can change without a case noticing."""

from __future__ import annotations

from mutants import mutants, surviving_bottleneck_mutants, surviving_mitigation_mutants
from trainbottleneck import rulebook


def test_mutants_change_one_thing_each() -> None:
    assert list(mutants("a.b2 >= 0.5 and 3 * b")) == [
        "a.b2 > 0.5 and 3 * b",
        "a.b2 <= 0.5 and 3 * b",
        "a.b2 >= 0.55 and 3 * b",
        "a.b2 >= 0.45 and 3 * b",
        "a.b2 >= 0.5 or 3 * b",
        "a.b2 >= 0.5 and 4 * b",
        "a.b2 >= 0.5 and (2) * b",
        "a.b2 >= 0.5 and 3 / b",
    ]


def test_every_mutant_of_a_bottleneck_rule_fails_a_case() -> None:
    assert list(surviving_bottleneck_mutants(rulebook.load())) == []


def test_every_mutant_of_a_mitigation_fails_a_case() -> None:
    assert list(surviving_mitigation_mutants(rulebook.load())) == []
