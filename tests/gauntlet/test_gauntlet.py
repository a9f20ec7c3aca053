"""The part of the gauntlet that runs each time: clear causes are named, healthy trainings and decoys are let alone.

What is asserted is the verdict alone, of cases whose answer in the whole gauntlet left no doubt. The whole gauntlet,
with measured truth, is `make gauntlet`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from . import diagnosing, results
from .case import Case, cases

pytest.importorskip("torch")
CHOSEN = [case for case in cases() if case.ci]


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_the_verdict_is_right(case: Case, tmp_path: Path) -> None:
    wall_s = diagnosing.diagnose(case, case.doses["strong"], sys.executable, tmp_path / "run")
    answer = diagnosing.answer(diagnosing.judged(tmp_path / "run"), wall_s)
    row = {"kind": case.kind, "expect": case.expect, "answer": answer}
    assert results.right(row), (results.line(row), answer["headline"])
