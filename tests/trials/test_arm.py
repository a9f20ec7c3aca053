"""An arm of a trial: the script as it is, its steps and losses, and none of its files."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from trainbottleneck.collect.target import resolve
from trainbottleneck.collect.trial import Conditions, run_arm
from trainbottleneck.model.arm import Arm
from trainbottleneck.model.trial import Change

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "script.py"
STEPS = 70  # the third epoch: two have saved their weights


def arm(folder: Path, word: str = "", *changes: Change, steps: int = STEPS) -> Arm:
    """Return an arm of the script, started in ``folder``."""
    folder.mkdir(exist_ok=True)
    if not (folder / "kept.txt").exists():
        shutil.copy(SCRIPT, folder / "train.py")
        (folder / "kept.txt").write_text("as it was")
    target = resolve(None, [str(folder / "train.py"), word], None)
    number = sum(1 for _ in folder.parent.glob("run-*"))
    conditions = Conditions(steps=steps, seed=11, padding=number, limit_s=120, folder=folder)
    return run_arm(target, folder.parent / f"run-{number}", changes, conditions)


def test_two_arms_of_an_unseeded_script_have_the_same_losses_and_write_nothing(tmp_path: Path) -> None:
    first, second = arm(tmp_path / "work"), arm(tmp_path / "work", "swallows")
    for one in (first, second):
        assert one.problem == "" and one.told == ()
        assert len(one.ends_ns) == STEPS and np.all(np.diff(one.ends_ns) > 0)
        assert one.start_ns < one.ends_ns[0] and one.system
    assert first.losses == second.losses and len(first.losses) == STEPS
    assert [step for step, _ in first.losses] == list(range(STEPS))
    left = {path.name: path.read_text() for path in (tmp_path / "work").iterdir() if path.suffix == ".txt"}
    assert left == {"kept.txt": "as it was"}
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"train.py", "kept.txt"}
    assert not list(tmp_path.glob("run-*/scratch"))


def test_a_script_that_fails_says_why(tmp_path: Path) -> None:
    failed = arm(tmp_path / "work", "fails")
    assert "ended with code 1" in failed.problem and "ValueError: out of luck" in failed.problem
    assert len(failed.ends_ns) == 5


def test_a_script_shorter_than_asked_for_is_used_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = arm(tmp_path / "work", "", steps=10_000)
    assert whole.problem == "" and len(whole.ends_ns) == 20 * 32


def test_what_can_not_be_changed_is_told(tmp_path: Path) -> None:
    change = Change(mitigation="x", override="no_such_thing", settings={})
    refused = arm(tmp_path / "work", "", change, steps=3)
    assert "no override called no_such_thing" in refused.refused and refused.applied == ()
    assert refused.problem == "" and len(refused.ends_ns) == 3
