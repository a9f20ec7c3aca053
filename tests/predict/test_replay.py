"""The order of events: what waits for what, and what nothing gets below."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.predict.replay import Rules, Times, mean_step, step_ends

EDGE = 0.02  # a window of some hundred steps begins and ends with a queue of some length
STEPS = 120

seconds = st.floats(0.001, 0.1)
varied = st.lists(seconds, min_size=1, max_size=12).map(tuple)
rules = st.builds(
    Rules,
    workers=st.integers(0, 6),
    prefetch=st.integers(1, 4),
    in_order=st.booleans(),
    receive_s=st.floats(0, 0.002),
    batches=st.integers(1, 3),
    synced=st.booleans(),
    ahead=st.integers(1, 4),
)
times = st.builds(
    Times, making_s=varied, before_s=varied, issue_s=varied, after_s=varied, device_s=varied | st.just((0.0,))
)


def mean(values: tuple[float, ...] | list[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)


@settings(max_examples=150)
@given(times, rules)
def test_no_step_is_shorter_than_its_busiest_resource(one: Times, rule: Rules) -> None:
    step = mean_step([one], rule, 12 * STEPS // 10)
    host = mean(one.before_s) + mean(one.issue_s) + mean(one.after_s) + rule.batches * rule.receive_s
    making = rule.batches * mean(one.making_s)
    assert step >= (host + (making if rule.workers == 0 else 0.0)) * (1 - EDGE)
    assert step >= making / max(1, rule.workers) * (1 - EDGE) - rule.workers * rule.prefetch * 0.1 / STEPS
    assert step >= mean(one.device_s) * (1 - EDGE) - rule.ahead * 0.1 / STEPS


@settings(max_examples=150)
@given(times, rules, st.sampled_from(["before_s", "issue_s", "after_s", "device_s"]), st.floats(0, 1))
def test_less_of_anything_is_never_slower(one: Times, rule: Rules, part: str, factor: float) -> None:
    ordered = replace(
        rule, in_order=True
    )  # out of order, a shorter wait may send a long batch to a worse place
    less = replace(one, **{part: tuple(factor * value for value in getattr(one, part))})
    assert step_ends([less], ordered, STEPS)[-1] <= step_ends([one], ordered, STEPS)[-1] + 1e-9


@settings(max_examples=100)
@given(times, rules, st.floats(0, 1))
def test_a_faster_loader_is_never_slower(one: Times, rule: Rules, factor: float) -> None:
    ordered = replace(rule, in_order=True)
    less = replace(one, making_s=tuple(factor * value for value in one.making_s))
    assert step_ends([less], ordered, STEPS)[-1] <= step_ends([one], ordered, STEPS)[-1] + 1e-9


@settings(max_examples=100)
@given(times, rules)
def test_a_longer_queue_is_never_slower_in_order(one: Times, rule: Rules) -> None:
    ordered = replace(rule, in_order=True)
    longer = replace(ordered, prefetch=rule.prefetch + 1)
    assert step_ends([one], longer, STEPS)[-1] <= step_ends([one], ordered, STEPS)[-1] + 1e-9


def test_equal_batches_take_the_slowest_resource() -> None:
    one = Times(making_s=(0.08,), before_s=(0.01,), issue_s=(0.02,), after_s=(0.01,), device_s=(0.03,))
    for workers, step in ((0, 0.12), (1, 0.08), (2, 0.04), (4, 0.04)):
        assert mean_step([one], Rules(workers=workers, ahead=2), 200) == pytest.approx(step, rel=0.01)


def test_a_device_that_is_slower_than_the_host_sets_the_step_synced_or_not() -> None:
    one = Times(issue_s=(0.02,), device_s=(0.05,))
    assert mean_step([one], Rules(ahead=3, batches=0), 100) == pytest.approx(0.05)
    assert mean_step([one], Rules(synced=True, batches=0), 100) == pytest.approx(0.05)


def test_a_sync_keeps_the_host_from_running_ahead() -> None:
    # What follows the sync (5 ms of logging) can not hide behind the device any more.
    one = Times(issue_s=(0.02,), after_s=(0.005,), device_s=(0.05,))
    assert mean_step([one], Rules(ahead=3, batches=0), 100) == pytest.approx(0.05)
    assert mean_step([one], Rules(ahead=3, batches=0, synced=True), 100) == pytest.approx(0.055)


def test_a_checkpoint_hides_behind_a_loader_while_the_queue_has_room() -> None:
    loop = (0.01,) * 9 + (0.06,)  # every tenth step saves for 50 ms; two workers make a batch in 20 ms
    saving = mean_step([Times(making_s=(0.04,), after_s=loop)], Rules(workers=2), 200)
    never = mean_step([Times(making_s=(0.04,), after_s=(0.01,))], Rules(workers=2), 200)
    assert never == pytest.approx(0.02, rel=0.01)
    assert saving == pytest.approx(0.02, rel=0.05)


def test_ranks_wait_for_the_last_one() -> None:
    fast = Times(issue_s=(0.02,), meet_s=(0.004,))
    slow = Times(issue_s=(0.03,), meet_s=(0.004,))
    assert mean_step([fast, slow], Rules(batches=0), 50) == pytest.approx(0.034)
    assert mean_step([slow, fast], Rules(batches=0), 50) == pytest.approx(0.034)


def test_ranks_that_are_slow_in_turn_cost_more_than_each_of_them() -> None:
    odd, even = Times(issue_s=(0.02, 0.03)), Times(issue_s=(0.03, 0.02))
    assert mean_step([odd], Rules(batches=0), 50) == pytest.approx(0.025)
    assert mean_step([odd, even], Rules(batches=0), 50) == pytest.approx(0.03)


def test_an_epoch_begins_with_an_empty_queue() -> None:
    one = Times(making_s=(0.04,), after_s=(0.04,))
    rule = Rules(workers=2, epoch_steps=10, start_s=0.1)
    # 100 ms to start, 40 ms until the first batch is there, then ten steps of 40 ms.
    assert mean_step([one], rule, 100) == pytest.approx(0.1 * (0.1 + 0.04 + 10 * 0.04))
    fresh = replace(rule, fresh_s=0.5)
    assert mean_step([one], fresh, 100) == pytest.approx(0.1 * (0.1 + 0.54 + 10 * 0.04))


def test_one_slow_batch_holds_up_those_behind_it_only_in_order() -> None:
    making = (0.2,) + (0.01,) * 9
    rule = Rules(workers=4, prefetch=1)
    ordered = mean_step([Times(making_s=making, after_s=(0.02,))], rule, 200)
    free = mean_step([Times(making_s=making, after_s=(0.02,))], replace(rule, in_order=False), 200)
    assert ordered > 1.2 * free
    assert free == pytest.approx(0.02, rel=0.05)
