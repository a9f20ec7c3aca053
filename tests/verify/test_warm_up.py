"""When an arm has settled, what its start cost, and how long it has to run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainbottleneck.verify.warm_up import (
    Length,
    break_even_steps,
    plan_steps,
    step_s,
    warm_up_s,
    warm_up_steps,
)


def ends(*lengths: float) -> list[float]:
    return list(np.cumsum(lengths))


def steady(count: int, noise: float = 0.0, seed: int = 0) -> list[float]:
    return [1 + noise * x for x in np.random.default_rng(seed).standard_normal(count)]


def test_seconds_per_step_are_those_of_the_steps_asked_for() -> None:
    assert step_s(ends(9, 1, 2, 3, 9), 1, 4) == pytest.approx(2.0)


@pytest.mark.parametrize(("first", "last"), [(0, 2), (2, 2), (1, 9)])
def test_steps_that_are_not_there_are_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="no steps"):
        step_s(ends(1, 1, 1), first, last)


def test_even_steps_are_warm_after_five() -> None:
    assert warm_up_steps(ends(*steady(40))) == 5


def test_what_lives_on_the_queue_is_warm_up() -> None:
    assert warm_up_steps(ends(*steady(60)), queue=16) == 18


def test_slow_first_steps_are_warm_up_and_so_are_fast_ones() -> None:
    for early in (3.0, 0.3):
        assert warm_up_steps(ends(*[early] * 18, *steady(60))) in (15, 25)


def test_too_few_steps_or_ever_slower_ones_never_settle() -> None:
    assert warm_up_steps(ends(*steady(24))) is None
    assert warm_up_steps(ends(*(1.03**step for step in range(100)))) is None


def test_uneven_steps_settle_as_well() -> None:
    """Object detection: a standard deviation of two thirds of the mean (Lotus IISWC'24)."""
    found = [
        warm_up_steps(ends(*np.random.default_rng(seed).gamma(2.2, 0.45, 60))) is not None
        for seed in range(40)
    ]
    assert np.mean(found) > 0.9


def test_a_pattern_of_workers_taking_turns_is_compared_by_whole_turns() -> None:
    """Of four batches one waits for all: whole turns have the same mean, wherever they begin."""
    assert warm_up_steps(ends(*[0.1, 0.1, 0.1, 3.7] * 20), every=4) == 5


def test_a_checkpoint_now_and_then_does_not_keep_it_from_settling() -> None:
    lengths = steady(100, 0.02)
    lengths[19::20] = [6.0] * 5
    assert warm_up_steps(ends(*lengths), compiles=True) == 5


def test_compiling_again_later_is_warm_up_too() -> None:
    lengths = [30.0, *steady(16, 0.02), 20.0, *steady(80, 0.02)]
    assert warm_up_steps(ends(*lengths)) == 5
    assert warm_up_steps(ends(*lengths), compiles=True) == 18


def test_warm_up_costs_what_settled_steps_would_not_have() -> None:
    assert warm_up_s(ends(8, 3, 1, 1, 1), -2.0, 3, 1.0) == pytest.approx(2 + 12 - 3)


def test_a_longer_start_is_earned_back_by_faster_steps() -> None:
    assert break_even_steps(1.0, 0.8, 20.0) == pytest.approx(100)
    assert break_even_steps(1.0, 0.8, -3.0) == 0
    assert break_even_steps(1.0, 1.0, 20.0) is None


@given(st.floats(0.01, 1), st.floats(0.3, 3), st.floats(-5, 50), st.integers(1, 40))
def test_at_break_even_both_arms_have_taken_as_long(
    base: float, ratio: float, extra: float, warm: int
) -> None:
    arm = base * ratio
    slow = [base] * 60
    fast = [arm + max(0.0, extra) / warm] * warm + [arm] * 60
    began = 0.0
    longer = warm_up_s(ends(*fast), began, warm, arm) - warm_up_s(ends(*slow), began, warm, base)
    steps = break_even_steps(base, arm, longer)
    if steps is None:
        assert arm >= base
    else:
        assert steps * base == pytest.approx(steps * arm + max(0.0, extra), rel=1e-6, abs=1e-6)


def test_the_costlier_the_start_the_more_steps_of_one_process() -> None:
    cheap, dear = (_plan(0.05, fixed_s=fixed).measured for fixed in (1.0, 30.0))
    assert 20 <= cheap < dear


def test_fast_steps_are_measured_for_half_a_second_at_least() -> None:
    assert _plan(0.001, fixed_s=0.01).measured >= 500


def test_whole_epochs_are_held_where_they_fit_and_told_where_not() -> None:
    plan = _plan(0.05, fixed_s=3.0, budget_s=20.0, every=(50, 195, 5000))
    assert plan.every == 195 and plan.measured == 195 and plan.cut == (5000,)


def test_a_budget_without_room_for_two_windows_is_refused() -> None:
    said = plan_steps(2.0, fixed_s=5.0, budget_s=30.0)
    assert isinstance(said, str) and "75 s" in said


@given(
    st.floats(1e-4, 5),
    st.floats(0, 60),
    st.floats(1, 300),
    st.integers(0, 64),
    st.lists(st.integers(1, 1000), max_size=3),
)
def test_no_process_is_planned_longer_than_it_may_take(
    step: float, fixed: float, budget: float, queue: int, every: list[int]
) -> None:
    plan = plan_steps(step, fixed_s=fixed, budget_s=budget, queue=queue, every=every)
    if isinstance(plan, Length):
        assert plan.seconds <= budget * (1 + 1e-9) and plan.measured % plan.every == 0
        assert plan.measured >= 10


def _plan(step: float, *, fixed_s: float, budget_s: float = 60.0, every: tuple[int, ...] = ()) -> Length:
    plan = plan_steps(step, fixed_s=fixed_s, budget_s=budget_s, every=every)
    assert isinstance(plan, Length), plan
    return plan
