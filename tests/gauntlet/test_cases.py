"""The cases are whole: files, labels, doses; their trainings know nothing of the tool."""

from __future__ import annotations

import ast

import pytest
from trainbottleneck import rulebook
from trainbottleneck.model.report import FAMILY_OF

from .case import Case, cases

ALL = cases()
MITIGATIONS = rulebook.load([rulebook.shipped()]).mitigations


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_case_is_whole(case: Case) -> None:
    assert case.script.exists() and case.fixed_script.exists()
    assert case.expect and {*case.expect, *case.then} <= set(FAMILY_OF)
    assert next(iter(case.doses)) == "strong"
    assert set(case.doses) <= {"strong", "again" if case.kind == "healthy" else "low"}
    assert (case.kind == "compound") == bool(case.then and case.after_first)
    assert case.override is None or case.override in MITIGATIONS
    assert "\n" not in case.what


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_a_training_knows_nothing_of_the_tool(case: Case) -> None:
    text = case.script.read_text(encoding="utf-8")
    assert "bottleneck" not in text.lower()
    assert any(
        isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in ast.parse(text).body
    )


def test_there_are_as_many_cases_as_the_score_needs() -> None:
    kinds = [case.kind for case in ALL]
    assert kinds.count("cause") >= 28 and kinds.count("healthy") >= 10
    assert kinds.count("decoy") >= 6 and kinds.count("compound") >= 4
    families = {FAMILY_OF[case.expect[0]] for case in ALL if case.kind == "cause"}
    assert families == set(FAMILY_OF.values())


def test_an_unknown_case_is_named() -> None:
    with pytest.raises(KeyError, match="no case 'nonsense'"):
        cases(["nonsense"])
