"""Estimates by model: amounts, bounds, bases, what is unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from build import measurements
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.model.measurement import Measurements
from trainbottleneck.predict.change import Change
from trainbottleneck.predict.models import MODELS, Estimate, Published, Question, estimate
from trainbottleneck.predict.summary import simulated_run

STEP = {"step.mean_s": 0.1, "step.checkpoint_s": 0.04, "step.forward_s": 0.02, "step.backward_s": 0.03}
LOADER = {
    "step.mean_s": 0.1,
    "step.data_wait_s": 0.06,
    "step.forward_s": 0.015,
    "step.backward_s": 0.02,
    "input.wait_frac": 0.6,
    "input.workers": 0,
    "input.batch_s": 0.06,
    "input.batch_cpu_s": 0.06,
    "input.batch_blocked_s": 0.0,
    "input.batch_cv_frac": 0.1,
    "input.cpu_frac": 1.0,
    "host.usable_cores": 8,
    "compute.cores": 1,
}


def ask(model: str, given: Measurements, **arguments: float | None) -> Estimate:
    """Return the unbounded estimate."""
    return estimate(model, Question(measurements=given, arguments=arguments))


def likely(one: Estimate) -> float:
    """Return the likely speed-up."""
    assert one.speedup is not None
    return one.speedup.likely


def test_removing_seconds_is_amdahls_law() -> None:
    found = ask("remove", measurements(STEP), seconds=0.04)
    assert likely(found) == pytest.approx(1 / 0.6)
    assert found.after_s == pytest.approx(0.06)
    assert found.basis == "phase"


def test_removing_a_fraction_is_of_the_step() -> None:
    assert likely(ask("remove", measurements(STEP), fraction=0.5)) == pytest.approx(2)


def test_low_and_high_are_parts_of_what_is_removed_and_the_middle_is_likely() -> None:
    speedup = ask("remove", measurements(STEP), seconds=0.04, low=0.5, high=1.0).speedup
    assert speedup is not None
    assert (speedup.low, speedup.likely, speedup.high) == pytest.approx((1 / 0.8, 1 / 0.7, 1 / 0.6))


def test_a_stall_that_comes_ten_times_as_seldom_costs_a_tenth() -> None:
    found = ask("amortise", measurements(STEP), seconds=0.2, interval=5, times=10)
    assert found.after_s == pytest.approx(0.1 - 0.04 * 0.9)


def test_after_a_checkpoint_is_gone_the_model_is_what_is_left() -> None:
    question = Question(measurements=measurements(STEP), arguments={"seconds": 0.04}, bottleneck="checkpoint")
    assert estimate("remove", question).next_wall == "compute"


def test_half_a_checkpoint_removed_leaves_the_model_in_front() -> None:
    given = measurements({**STEP, "step.checkpoint_s": 0.09})
    question = Question(measurements=given, arguments={"seconds": 0.01}, bottleneck="checkpoint")
    assert estimate("remove", question).next_wall == "checkpoint"


def test_a_loader_the_recursion_reproduces_is_simulated() -> None:
    found = ask("loader", measurements(LOADER), workers=2)
    assert found.basis == "simulation"
    assert found.after_s == pytest.approx(
        0.04, rel=0.02
    )  # the loop's own 40 ms: two workers make a batch in 30
    assert found.next_wall == "compute"


def test_one_worker_leaves_the_loader_in_front() -> None:
    found = ask("loader", measurements(LOADER), workers=1)
    assert found.after_s == pytest.approx(0.06, rel=0.02)
    assert found.next_wall == "dataloader"


def test_a_faster_transform_without_workers_is_time_off_the_step() -> None:
    found = ask("loader", measurements(LOADER), workers=0, cpu_factor=0.5)
    assert found.after_s == pytest.approx(0.07)


def test_starts_of_epochs_stay_as_they_are() -> None:
    given = {**LOADER, "step.mean_s": 0.12, "step.data_wait_s": 0.08, "input.epoch_gap_frac": 1 / 6}
    found = ask("loader", measurements(given), workers=2)
    assert found.basis == "simulation"
    assert found.after_s == pytest.approx(0.06, rel=0.02)


def test_what_the_recursion_can_not_reproduce_gets_a_bracket() -> None:
    found = ask(
        "loader", measurements({**LOADER, "input.batch_s": 0.03, "input.batch_cpu_s": 0.03}), workers=2
    )
    assert found.basis == "bracket"
    assert found.speedup is not None
    assert found.speedup.high == pytest.approx(1 / 0.4)  # the whole wait and no more
    assert found.speedup.low == pytest.approx(1 / 0.7)  # half of it for batches twice as fast


def test_a_bracket_leaves_the_starts_of_epochs_alone() -> None:
    given = {**LOADER, "input.batch_s": 0.03, "input.batch_cpu_s": 0.03, "input.epoch_gap_frac": 0.2}
    found = ask("loader", measurements(given), workers=2)
    assert found.basis == "bracket"
    assert found.speedup is not None
    assert found.speedup.high == pytest.approx(1 / 0.6)


@pytest.mark.parametrize("missing", ["step.mean_s", "input.workers"])
def test_without_step_or_workers_a_loader_is_unknown(missing: str) -> None:
    given = {name: value for name, value in LOADER.items() if name != missing}
    assert ask("loader", measurements(given), workers=2).speedup is None


def test_measured_contention_is_taken_out_before_it_is_put_in_again() -> None:
    crowded = {
        **LOADER,
        "input.workers": 2,
        "step.mean_s": 0.05,
        "step.data_wait_s": 0.01,
        "input.batch_s": 0.1,
        "input.batch_cpu_s": 0.06,
        "host.usable_cores": 2,
        "compute.cores": 2,
    }
    run = simulated_run(measurements(crowded))
    assert run is not None
    assert run.step_s() == pytest.approx(0.05, rel=0.05)
    alone = simulated_run(measurements({**crowded, "host.usable_cores": 64}))
    assert alone is not None
    fewer = Change(workers=1)  # on crowded cores one worker of two takes less than half the rate away
    assert run.ratio(fewer) < alone.ratio(fewer)


def test_published_gains_of_a_phase_go_through_its_share() -> None:
    published = Published(scope="phase", low=2.0, high=8.0)
    question = Question(measurements=measurements(STEP), arguments={}, share=0.5, published=published)
    found = estimate("literature", question)
    assert found.basis == "literature"
    assert found.speedup is not None
    assert found.speedup.low == pytest.approx(1 / 0.75)
    assert found.speedup.likely == pytest.approx(1 / (0.5 + 0.5 / 4))


def test_fewer_steps_do_not_shorten_a_step() -> None:
    published = Published(scope="total", low=2.0, high=2.0)
    question = Question(
        measurements=measurements(STEP), arguments={}, share=0.1, published=published, fewer_steps=True
    )
    found = estimate("literature", question)
    assert found.after_s is None
    assert likely(found) == 2


@pytest.mark.parametrize("model", sorted(MODELS))
def test_every_model_is_unknown_without_measurements(model: str) -> None:
    found = ask(model, measurements(), **dict.fromkeys(MODELS[model].needs, None))
    assert (found.speedup, found.basis) == (None, "unknown")


amount = st.none() | st.floats(-1, 5, allow_nan=False)


@settings(max_examples=300)
@given(
    st.sampled_from(["remove", "amortise", "loader"]),
    st.fixed_dictionaries(dict.fromkeys(("seconds", "fraction", "low", "high", "interval", "times"), amount)),
    st.fixed_dictionaries(dict.fromkeys(("workers", "cpu_factor", "io_factor"), amount)),
    st.floats(0, 1),
)
def test_no_estimate_beats_its_bound(
    model: str, some: dict[str, float | None], more: dict[str, float | None], share: float
) -> None:
    takes = MODELS[model].needs | MODELS[model].takes
    arguments = {name: value for name, value in {**some, **more}.items() if name in takes}
    given = measurements({**STEP, **LOADER})
    found = estimate(model, Question(measurements=given, arguments=arguments, share=share))
    if found.speedup is not None:
        bound = 1 / max(1 - share, 0.01)
        assert found.speedup.low <= found.speedup.likely <= found.speedup.high <= bound * (1 + 1e-9)


@settings(max_examples=100)
@given(st.sampled_from(["seconds", "fraction"]), st.floats(0.001, 10))
def test_removing_nothing_gains_nothing(name: str, mean: float) -> None:
    assert likely(ask("remove", measurements(step__mean_s=mean), **{name: 0.0})) == 1


def test_changing_nothing_of_a_loader_gains_nothing() -> None:
    assert likely(ask("loader", measurements(LOADER), workers=0)) == pytest.approx(1)
    assert likely(ask("amortise", measurements(STEP), seconds=0.2, interval=5, times=1)) == pytest.approx(1)


def beside_a_worker(cost: tuple[float, float, float]) -> Measurements:
    """Return a run on two cores whose only worker is always ahead, and what a step without batches was measured as."""
    given = {
        **LOADER,
        "input.workers": 1,
        "input.wait_frac": 0.0,
        "step.data_wait_s": 0.0,
        "step.mean_s": 0.1,
    }
    given |= {"step.forward_s": 0.04, "step.backward_s": 0.06, "host.usable_cores": 2, "compute.cores": 2}
    low, likely_share, high = cost
    return interval_of(measurements(given), "ceiling.input_frac", likely_share, (low, high))


def interval_of(given: Measurements, name: str, value: float, interval: tuple[float, float]) -> Measurements:
    """Return ``given`` with one more measurement that has an interval."""
    one = replace(measurements({name: value})[name], interval=interval)
    return replace(given, values_by_id={**given.values_by_id, name: one})


def test_lighter_batches_beside_a_model_gain_their_part_of_what_no_batches_were_measured_to_gain() -> None:
    run = beside_a_worker((0.38, 0.4, 0.42))
    none, half = (ask("loader", run, workers=1, cpu_factor=one) for one in (0.0, 0.5))
    assert none.basis == half.basis == "ceiling"
    assert likely(none) == pytest.approx(1 / 0.6, rel=0.01)
    assert 1.15 < likely(half) < 1.35  # about half of the work, about half of the 40 %


def test_a_replay_that_agrees_with_the_experiment_stays_as_it_is() -> None:
    found = ask("loader", beside_a_worker((0.0, 0.2, 0.9)), workers=1, cpu_factor=0.5)
    assert found.basis == "simulation"


def test_more_workers_are_not_scaled_by_what_no_batches_gain() -> None:
    run = beside_a_worker((0.38, 0.4, 0.42))
    assert ask("loader", run, workers=2).basis == "simulation"


def waiting(cost: tuple[float, float, float], wait: float) -> Measurements:
    """Return a run that waits for a store, and what a step without batches was measured as."""
    given = {**LOADER, "input.workers": 1, "input.batch_s": 0.1, "input.batch_cpu_s": 0.001}
    given |= {"input.batch_blocked_s": 0.099, "step.data_wait_s": 0.05, "input.wait_frac": wait}
    given |= {"step.mean_s": 0.1, "step.forward_s": 0.02, "step.backward_s": 0.03, "step.busy_s": 0.05}
    given |= {"host.usable_cores": 2, "compute.cores": 2}
    low, likely_share, high = cost
    return interval_of(measurements(given), "ceiling.input_frac", likely_share, (low, high))


def test_a_loop_that_is_faster_without_waits_may_gain_more_from_workers_than_its_replay_says() -> None:
    agrees, faster, unseen = (
        ask("loader", waiting(cost, wait), workers=4).speedup
        for cost, wait in (((0.48, 0.5, 0.52), 0.5), ((0.68, 0.7, 0.72), 0.5), ((0.68, 0.7, 0.72), 0.0))
    )
    assert agrees is not None and faster is not None and unseen is not None
    assert (faster.low, faster.likely) == (agrees.low, agrees.likely)
    assert faster.likely < 2.1 and 2.5 < faster.high < 1 / 0.28
    assert unseen.high == agrees.high  # what no wait explains may be the workers' own share of the cores


def test_batches_that_the_replay_has_for_nothing_get_the_bracket_of_what_they_cost() -> None:
    run = beside_a_worker((0.38, 0.4, 0.42))
    plenty = {
        **run.values_by_id,
        **measurements({"host.usable_cores": 64, "input.cost_frac": 0.4}).values_by_id,
    }
    found = ask("loader", replace(run, values_by_id=plenty), workers=1, cpu_factor=0.5)
    assert found.basis == "bracket" and found.speedup is not None
    assert (found.speedup.low, found.speedup.high) == pytest.approx((1 / 0.8, 1 / 0.6), rel=0.01)


def test_an_experiment_that_leaves_much_open_does_not_scale_what_a_replay_says() -> None:
    wide = beside_a_worker((0.33, 0.4, 0.47))
    assert ask("loader", wide, workers=1, cpu_factor=0.5).basis == "simulation"
