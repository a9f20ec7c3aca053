"""Tests marked ``timing`` are measured again where they failed, with all that they share; others are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import conftest
import repeating

TESTS = """
import itertools
import pytest

attempts, fixtures = itertools.count(), itertools.count()

@pytest.fixture(scope="module")
def shared():
    return next(fixtures)

@pytest.mark.timing
def test_bad_luck(shared, tmp_path):
    (tmp_path / "new").mkdir()
    assert next(attempts) == 1 and shared == 1

@pytest.mark.timing
def test_defect(shared):
    assert False

def test_other(shared):
    assert False

@pytest.mark.timing
def test_skipped(shared):
    pytest.skip("nothing to see")
"""


# Others are busy during every attempt, or during none.
CONFTEST = """
import repeating

def _others():
    yield 0.0
    yield {busy}

repeating._others = _others
repeating._REPEATS_S = {repeats_s}
"""


def outcome(
    folder: Path, busy: float, repeats_s: float = 600.0, tests: str = TESTS, conftest: str = CONFTEST
) -> str:
    """Return what pytest says of ``tests`` while others have the share ``busy`` of the cores."""
    (folder / "test_it.py").write_text(tests)
    (folder / "conftest.py").write_text(conftest.format(busy=busy, repeats_s=repeats_s))
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = timing")
    command = [sys.executable, "-m", "pytest", "-p", "repeating", "-p", "no:cacheprovider", "-rA"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(
        [*command, str(folder)], env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout


def repeated(said: str) -> list[str]:
    """Return the tests that were measured again."""
    return [line.split(":")[2] for line in said.splitlines() if "measured again" in line and "::" in line]


def test_a_failure_has_to_show_twice(tmp_path: Path) -> None:
    said = outcome(tmp_path, 0.0)
    assert "2 failed, 1 passed, 1 skipped" in said, said
    assert "PASSED test_it.py::test_bad_luck" in said
    assert repeated(said) == ["test_bad_luck", "test_defect"]


def test_what_only_failed_while_others_had_the_cores_is_not_judged(tmp_path: Path) -> None:
    said = outcome(tmp_path, 0.3)
    assert "1 failed, 1 passed, 2 skipped" in said, said
    assert "FAILED test_it.py::test_other" in said and "PASSED test_it.py::test_bad_luck" in said
    assert "test_defect: not judged: failed while others had 30%, 30%, 30% of the cores" in said
    assert repeated(said) == ["test_bad_luck", *["test_defect"] * 2]


SHARED = """
import pytest

@pytest.fixture(scope="module")
def measured():
    return 0

@pytest.mark.timing
def test_of_what_was_measured(measured):
    assert measured
"""
LATER = """
import repeating

readings = iter([0.3, 0.0] * 9)  # of the set-up that tests share, and of all else

def _others():
    yield 0.0
    yield next(readings)

repeating._others = _others
"""


def test_others_count_that_were_busy_while_the_shared_part_was_measured(tmp_path: Path) -> None:
    said = outcome(tmp_path, 0.0, tests=SHARED, conftest=LATER)
    assert "1 skipped" in said and "had 30%, 30%, 30% of the cores" in said, said


def test_a_run_spends_a_bounded_time_on_repeats_but_always_makes_sure_of_a_defect(tmp_path: Path) -> None:
    assert repeated(outcome(tmp_path, 0.3, repeats_s=-1.0)) == []
    assert repeated(outcome(tmp_path, 0.0, repeats_s=-1.0)) == ["test_bad_luck", "test_defect"]


EXACT = """
import pytest
from repeating import exactly

@pytest.mark.timing
def test_counts():
    found = 53
    with exactly():
        assert found == 54
"""


def test_what_no_time_changes_is_judged_however_busy_others_are(tmp_path: Path) -> None:
    said = outcome(tmp_path, 0.9, tests=EXACT)
    assert "1 failed" in said and "53 == 54" in said, said
    assert repeated(said) == []


def test_every_hook_is_put_in_place_for_these_tests() -> None:
    hooks = {name for name in vars(repeating) if name.startswith("pytest_")}
    assert hooks == set(conftest.__all__)
