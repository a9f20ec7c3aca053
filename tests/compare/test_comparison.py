"""What a comparison says of time: faster, slower, or not to be told; and of what can't be compared."""

from __future__ import annotations

import pytest
from trainbottleneck.compare.comparison import compare
from trainbottleneck.compare.sides import Group
from trainbottleneck.model.comparison import Contrast

from .builders import facts, group, report


def _one(before: Group, after: Group, **options: object) -> Contrast:
    """Return B beside A."""
    return compare((before, after), **options).contrasts[0]  # type: ignore[arg-type]


def _single(letter: str, step_s: float, error: float | None = 0.01, **values: float) -> Group:
    """Return a side of one run."""
    return group(letter, facts(report(step_s, **values), error=error))


def _several(letter: str, *steps_s: float) -> Group:
    """Return a side of repeats."""
    return group(letter, *(facts(report(step_s), name=f"r{at}") for at, step_s in enumerate(steps_s)))


def test_a_faster_run_is_called_faster_with_its_interval() -> None:
    found = _one(_single("A", 0.2), _single("B", 0.1))
    assert found.speedup.ratio.likely == pytest.approx(2.0)
    assert 1.9 < found.speedup.ratio.low < 2 < found.speedup.ratio.high < 2.1
    assert found.speedup.significant and found.speedup.noise == "blocks"
    assert (
        found.headline == "B is 2.0× as fast as A: 100 ms instead of 200 ms per step (95 %: 1.94× to 2.1×)."
    )


def test_a_slower_run_is_told_by_how_much_longer_it_takes() -> None:
    headline = _one(_single("A", 0.1), _single("B", 0.15)).headline
    assert headline.startswith("B takes 1.50× as long as A: 150 ms instead of 100 ms per step (95 %: 1.4")


def test_a_difference_within_noise_is_not_called_one() -> None:
    found = _one(_single("A", 0.1, error=0.05), _single("B", 0.11, error=0.05))
    assert found.speedup.significant is False
    assert found.headline.startswith(
        "No difference that can be told from noise: 100 ms per step in A, 110 ms in B"
    )


def test_single_runs_are_said_not_to_know_how_runs_differ() -> None:
    assert any(
        "not how much runs differ" in text for text in _one(_single("A", 0.2), _single("B", 0.1)).warnings
    )


def test_reports_alone_give_no_interval_and_say_so() -> None:
    found = _one(_single("A", 0.2, error=None), _single("B", 0.1, error=None))
    assert found.speedup.significant is None and not found.speedup.known
    assert found.headline == "B takes 100 ms instead of 200 ms per step; how sure that is can't be said."
    assert any("needs its record" in text for text in found.warnings)


def test_repeats_on_both_sides_know_how_runs_differ() -> None:
    even = _one(_several("A", 0.2, 0.202, 0.198), _several("B", 0.1, 0.101, 0.099))
    uneven = _one(_several("A", 0.2, 0.3, 0.1), _several("B", 0.1, 0.15, 0.05))
    assert even.speedup.noise == "runs" and even.speedup.significant
    assert uneven.speedup.significant is False


def test_two_repeats_say_less_than_four() -> None:
    two = _one(_several("A", 0.2, 0.202), _several("B", 0.1, 0.101)).speedup.ratio
    four = _one(_several("A", *(0.2, 0.202) * 2), _several("B", *(0.1, 0.101) * 2)).speedup.ratio
    assert two.high - two.low > 3 * (four.high - four.low)


def test_one_run_beside_repeats_takes_their_noise() -> None:
    found = _one(_single("A", 0.2, error=0.0001), _several("B", 0.1, 0.12, 0.14))
    assert found.speedup.noise == "other_side" and found.speedup.ratio.high / found.speedup.ratio.low > 3


def test_other_batch_sizes_are_compared_per_sample_and_told_first() -> None:
    found = _one(_single("A", 0.1, input__batch_size=32), _single("B", 0.15, input__batch_size=64))
    assert found.speedup.basis == "sample"
    assert found.speedup.ratio.likely == pytest.approx((0.1 / 32) / (0.15 / 64))
    assert found.warnings[0].startswith("Not the same work: samples in a step 32 and 64.")
    assert "per sample" in found.headline


def test_samples_of_a_step_count_micro_batches_and_ranks() -> None:
    many = {"input__batch_size": 8.0, "step__micro_batches": 4.0, "ddp__world": 2.0}
    found = compare((_single("A", 0.1, **many), _single("B", 0.1, **many)))
    assert found.sides[0].samples == 64 and found.sides[0].per_second == pytest.approx(640)
    assert found.contrasts[0].speedup.basis == "step"


def test_an_unknown_batch_size_leaves_the_time_of_a_step() -> None:
    found = _one(_single("A", 0.1, input__batch_size=32), _single("B", 0.1))
    assert found.speedup.basis == "step"


def test_another_model_is_said_first() -> None:
    found = _one(_single("A", 0.1, model__parameters=1e6), _single("B", 0.1, model__parameters=2e6))
    assert found.warnings[0].startswith("Not the same work: parameters 1 000 000 and 2 000 000.")


def test_phases_tell_their_change_and_whether_it_is_sure() -> None:
    before = facts(report(0.1, phases={"data_wait": 0.08, "forward": 0.02}), error=0.01)
    after = facts(report(0.03, phases={"data_wait": 0.01, "forward": 0.02, "gc": 1e-7}), error=0.01)
    found = _one(group("A", before), group("B", after))
    assert [row.phase for row in found.phases] == ["data_wait", "forward"]
    wait, forward = found.phases
    assert wait.difference.likely == pytest.approx(-0.07) and wait.difference.high < 0
    assert forward.difference.low < 0 < forward.difference.high


@pytest.mark.parametrize(
    ("after_s", "error", "failed", "text"),
    [
        (0.12, 0.01, True, "Regression: B is 20 %"),
        (0.07, 0.01, False, "No regression"),
        (0.106, 0.01, False, "that it is more than 5 % is not significant"),
        (0.2, None, False, "without an interval that is not significant"),
        (0.104, 0.0001, False, "No regression of more than 5 %"),
    ],
)
def test_a_regression_fails_only_where_all_of_its_interval_is_beyond_the_limit(
    after_s: float, error: float | None, failed: bool, text: str
) -> None:
    found = _one(_single("A", 0.1, error), _single("B", after_s, error), limit=0.05).regression
    assert found is not None and found.failed is failed and text in found.text


def test_whole_runs_count_where_all_came_to_their_own_end() -> None:
    whole = {"wall_s": 50.0, "exit_code": 0, "account": [{"name": "experiments", "seconds": 10.0}]}
    stopped = {"wall_s": 50.0, "exit_code": 0, "stopped_by_us": True}
    ended, cut = facts(report(0.2, run=whole)), facts(report(0.1, run=stopped))
    half = facts(report(0.1, run={"wall_s": 20.0, "exit_code": 0}))
    assert _one(group("A", ended), group("B", half)).speedup.run == pytest.approx(2.0)
    assert _one(group("A", ended), group("B", cut)).speedup.run is None


def test_more_than_two_sides_are_each_held_against_the_first() -> None:
    found = compare((_single("A", 0.4), _single("B", 0.2), _single("C", 0.1)))
    assert [row.letter for row in found.contrasts] == ["B", "C"]
    assert [round(row.speedup.ratio.likely) for row in found.contrasts] == [2, 4]


def test_the_same_runs_give_the_same_comparison() -> None:
    sides = (_single("A", 0.4), _single("B", 0.2))
    assert compare(sides) == compare(sides)
