"""Delta: quality beside time, and never in place of it."""

from __future__ import annotations

import numpy as np
import pytest
from analyze.records import Loop
from trainbottleneck.analyze.logged import Logged, logged
from trainbottleneck.compare.comparison import compare
from trainbottleneck.compare.sides import Group
from trainbottleneck.model.span import Flag

from .builders import facts, group, log, report


def _logged(*values: float, updates: int = 100, unread: int = 0) -> Logged:
    """Return values of one name; the last after ``updates`` optimizer steps."""
    counts = np.linspace(0, updates, len(values)).astype(np.int64)
    return Logged(values=np.array(values, dtype=np.float64), updates=counts, unread=unread)


def _side(letter: str, step_s: float, *accuracies: float, updates: int = 100) -> Group:
    """Return a side with a run for each accuracy."""
    runs = (
        facts(report(step_s), error=0.01, logged={"acc": _logged(0.1, accuracy, updates=updates)})
        for accuracy in accuracies
    )
    return group(letter, *runs)


def test_without_a_metric_quality_is_unknown_and_what_was_logged_is_named() -> None:
    found = compare((_side("A", 0.2, 0.9), _side("B", 0.1, 0.9))).contrasts[0]
    assert found.delta.value is None
    assert found.delta.text == "Quality: unknown, no metric was named (logged: acc; choose with --metric)."


def test_delta_is_relative_to_the_first_and_the_time_ratio_ignores_it() -> None:
    made = compare((_side("A", 0.2, 0.8), _side("B", 0.1, 0.6)), metric="acc", higher=True)
    found = made.contrasts[0]
    assert found.delta.value == pytest.approx(-0.25)
    assert found.speedup.ratio.likely == pytest.approx(2.0)


def test_one_run_on_a_side_calls_nothing_better() -> None:
    found = compare((_side("A", 0.2, 0.8), _side("B", 0.1, 0.9)), metric="acc", higher=True).contrasts[0]
    assert found.delta.better is None and "another seed" in found.delta.text


@pytest.mark.parametrize(("higher", "better"), [(True, True), (False, False), (None, None)])
def test_repeats_tell_better_from_worse_once_the_way_is_known(
    higher: bool | None, better: bool | None
) -> None:
    sides = _side("A", 0.2, 0.80, 0.81, 0.79), _side("B", 0.1, 0.90, 0.91, 0.89)
    assert compare(sides, metric="acc", higher=higher).contrasts[0].delta.better is better


def test_repeats_that_overlap_are_not_told_apart() -> None:
    sides = _side("A", 0.2, 0.80, 0.90), _side("B", 0.1, 0.81, 0.91)
    found = compare(sides, metric="acc", higher=True).contrasts[0].delta
    assert found.known and found.better is None and "not told from noise" in found.text


def test_quality_after_other_amounts_of_training_is_marked() -> None:
    found = compare((_side("A", 0.2, 0.8), _side("B", 0.1, 0.7, updates=30)), metric="acc", higher=True)
    assert any("after 100 optimizer steps in A and 30 in B" in text for text in found.contrasts[0].warnings)


def test_a_missing_metric_says_why() -> None:
    other = group("B", facts(report(0.1), logged={"loss": _logged(1.0)}))
    device = group("B", facts(report(0.1), logged={"acc": _logged(unread=3)}))
    alone = group("B", facts(report(0.1)))
    nan = group("B", facts(report(0.1), logged={"acc": _logged(float("nan"))}))
    texts = [
        compare((_side("A", 0.2, 0.8), side), metric="acc").contrasts[0].delta.text
        for side in (other, device, alone, nan)
    ]
    assert "B: acc was not logged (logged: loss)" in texts[0]
    assert "log float(acc)" in texts[1]
    assert "only reports are here" in texts[2]
    assert "not a finite number" in texts[3]


def test_runs_without_the_metric_are_told_beside_those_with_it() -> None:
    some = Group(letter="A", name="a", facts=(*_side("A", 0.2, 0.8).facts, facts(report(0.2))))
    found = compare((some, _side("B", 0.1, 0.8)), metric="acc").contrasts[0]
    assert "A: acc is known of 1 of its 2 runs." in found.warnings


def test_the_front_holds_what_no_other_beats_in_both() -> None:
    sides = (_side("A", 0.4, 0.9), _side("B", 0.2, 0.8), _side("C", 0.3, 0.7), _side("D", 0.1, 0.6))
    assert compare(sides, metric="acc", higher=True).pareto == ("A", "B", "D")
    assert compare(sides, metric="acc", higher=False).pareto == ("D",)
    assert compare(sides, metric="acc").pareto == ()


def test_numbers_are_read_with_the_optimizer_steps_before_them() -> None:
    loop = Loop()
    for step in range(5):
        loop.plain()
        log(loop, "loss", 1.0 / (step + 1), step)
    log(loop, "acc", 0.75)
    log(loop, "gpu", 0.0, flags=Flag.UNREAD)
    found = logged([loop.process()])
    assert list(found["loss"].values) == [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]
    assert list(found["loss"].updates) == [1, 2, 3, 4, 5]
    assert list(found["acc"].values) == [0.75] and list(found["acc"].updates) == [5]
    assert found["gpu"].unread == 1 and not len(found["gpu"].values)


def test_a_record_without_logged_numbers_reads_as_none() -> None:
    assert logged([Loop().plain(3).process()]) == {}
