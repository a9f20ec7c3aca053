"""Tests marked ``timing`` are measured again where they failed, with all that they share; others are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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


def test_a_failure_has_to_show_twice(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = timing")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "repeating", "-p", "no:cacheprovider", "-rA", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "2 failed, 1 passed, 1 skipped" in done.stdout, done.stdout
    assert "PASSED test_it.py::test_bad_luck" in done.stdout
    repeated = [
        line.split(":")[2] for line in done.stdout.splitlines() if "measured again" in line and "::" in line
    ]
    assert repeated == ["test_bad_luck", "test_defect"]
