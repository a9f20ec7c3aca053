"""What is taken away, in which order, for how long, and when enough is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainbottleneck.verify.plan import Lengths, Pace, lengths, settled, suspects, worth_asking
from trainbottleneck.verify.statistics import Comparison

PACE = Pace(step_s=0.05, shares={"input": 0.4, "logging": 0.1, "gc": 0.002}, loads=True)


def found(share: float, half: float, pairs: int = 4) -> Comparison:
    """Return a comparison of steps of one second."""
    interval = (share - half, share + half)
    return Comparison(base_s=1.0, without_s=1 - share, share=share, interval=interval, pairs=pairs)


def test_the_largest_phase_is_suspected_first_and_what_takes_nothing_not_at_all() -> None:
    assert [name for name, _ in suspects(PACE)] == ["input", "logging"]


def test_workers_are_suspected_however_short_the_wait() -> None:
    pace = Pace(step_s=0.05, ahead=4, loads=True)
    assert [name for name, _ in suspects(pace)] == ["input"]


def test_batches_that_the_loop_makes_in_no_time_are_no_suspect() -> None:
    assert suspects(Pace(step_s=0.05, shares={"input": 0.049}, loads=True)) == []
    assert suspects(Pace(step_s=0.05, shares={"input": 0.05}, loads=True)) == [("input", 0.05)]


def test_a_loop_that_makes_its_batches_itself_has_no_input_to_take_away() -> None:
    assert "input" not in dict(suspects(replace(PACE, loads=False)))


def test_anomaly_detection_is_asked_about_though_no_phase_shows_it() -> None:
    assert [name for name, _ in suspects(replace(PACE, anomaly=True))] == ["anomaly", "input", "logging"]


def test_on_several_ranks_only_what_can_go_away_on_all_alike() -> None:
    shares = {"sync": 0.5, "evaluation": 0.2, "collectives": 0.1, "checkpoint": 0.05}
    assert [name for name, _ in suspects(Pace(step_s=1.0, shares=shares, ranks=2))] == [
        "collectives",
        "checkpoint",
    ]


def test_a_block_has_ten_steps_and_half_a_second() -> None:
    assert _lengths("logging", Pace(step_s=0.001)).block == 500
    assert _lengths("logging", Pace(step_s=0.1)).block == 10


def test_blocks_of_slow_steps_are_shorter_but_never_below_six() -> None:
    assert _lengths("logging", Pace(step_s=0.5)).block == 6
    assert _lengths("logging", Pace(step_s=1.5)).block == 6


def test_a_switch_is_washed_out_past_the_queue() -> None:
    assert _lengths("input", replace(PACE, ahead=8)).wash == 10


def test_a_block_holds_whole_intervals_of_checkpoints() -> None:
    pace = Pace(step_s=0.05, every={"checkpoint": 7})
    assert _lengths("checkpoint", pace).block % 7 == 0


def test_blocks_count_optimizer_steps_where_a_step_has_several() -> None:
    pace = Pace(step_s=0.1, updates=2.0)
    assert _lengths("logging", pace).block == 20


def test_intervals_that_do_not_fit_the_budget_are_not_tried_and_it_says_why() -> None:
    said = lengths("checkpoint", Pace(step_s=0.1, every={"checkpoint": 500}), 60.0)
    assert isinstance(said, str) and "2008 steps" in said and "201 s" in said


def test_what_came_only_once_is_not_tried() -> None:
    said = lengths("evaluation", Pace(step_s=0.1), 60.0)
    assert isinstance(said, str) and "only once" in said


def test_epochs_count_where_starting_them_costs_something() -> None:
    pace = Pace(step_s=0.1, every={"input": 30}, loads=True)
    assert _lengths("input", pace).block == 10
    assert _lengths("input", replace(pace, epochs_share=0.2)).block == 30


@given(
    st.floats(1e-5, 100),
    st.integers(0, 64),
    st.floats(0.5, 60),
    st.sampled_from(["input", "logging", "checkpoint"]),
    st.booleans(),
)
def test_no_comparison_is_longer_than_what_is_left(
    step_s: float, ahead: int, left: float, arm: str, more: bool
) -> None:
    pace = Pace(step_s=step_s, ahead=ahead, every={"checkpoint": 5}, loads=True)
    said = lengths(arm, pace, left, more)
    if isinstance(said, Lengths):
        assert said.seconds <= left + 1e-9
        steps = 4 * said.pairs * (said.block + said.wash)
        assert steps * step_s <= left * (1 + 1e-9)


def test_it_is_settled_once_the_step_without_is_known_well_enough() -> None:
    assert settled(found(0.5, 0.039)) and not settled(found(0.5, 0.041))


def test_whether_it_is_a_bottleneck_has_to_be_beyond_doubt_or_closely_known() -> None:
    assert settled(found(0.19, 0.06)) and not settled(found(0.15, 0.06))
    assert settled(found(0.1, 0.044)) and not settled(found(0.1, 0.046))


def test_the_larger_the_share_the_closer_the_rest_has_to_be_known() -> None:
    assert settled(found(0.2, 0.03)) and not settled(found(0.8, 0.03))


def test_beyond_a_five_fold_gain_a_point_of_the_step_is_enough() -> None:
    assert settled(found(0.95, 0.0099)) and not settled(found(0.95, 0.011))


def test_what_hides_nothing_is_settled_early() -> None:
    assert settled(found(-0.2, 0.15)) and not settled(None)


def test_comparing_ends_after_a_dozen_pairs_in_any_case() -> None:
    assert settled(found(0.5, 0.4, pairs=12))


@pytest.mark.parametrize(
    ("share", "most", "asked"),
    [(0.02, 0.5, False), (0.02, 0.05, True), (0.12, 0.5, False), (0.2, 0.7, True), (0.035, 0.12, True)],
)
def test_small_suspects_are_not_asked_once_a_bottleneck_is_found(
    share: float, most: float, asked: bool
) -> None:
    assert worth_asking("input", share, most, ahead=0) is asked
    assert worth_asking("logging", share, most, ahead=4) is asked


def test_workers_are_asked_about_beside_any_bottleneck() -> None:
    assert worth_asking("input", 0.03, 0.8, ahead=4)


def _lengths(arm: str, pace: Pace) -> Lengths:
    said = lengths(arm, pace, 60.0)
    assert isinstance(said, Lengths), said
    return said


def test_no_less_is_counted_than_is_thrown_away() -> None:
    said = _lengths("input", replace(PACE, ahead=16))
    assert (said.block, said.wash) == (18, 18)
