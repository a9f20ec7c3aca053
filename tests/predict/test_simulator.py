"""What changes do to a replayed run: alone, together, and what limits the step next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from build import measurements
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.model.measurement import Measurements
from trainbottleneck.model.workload import Feeding, Stall, Workload
from trainbottleneck.predict.change import NOTHING, Change, faster, together
from trainbottleneck.predict.estimate import combine, what_if
from trainbottleneck.predict.foreseen import with_predictions
from trainbottleneck.predict.loader import service_times
from trainbottleneck.predict.relief import less_often, phases_named, shorter
from trainbottleneck.predict.simulator import Simulator
from trainbottleneck.predict.workers import best_workers

from .workloads import lane, workload

TWO = Feeding(workers=2, blocked_frac=1.0)
SAVES = Stall(phase="checkpoint", seconds=(0.1,), interval=10.0)
FASTER_FETCH = Change(cpu_factor=0.5, io_factor=0.5)


def run_of(one: Workload) -> Measurements:
    """Return the measurements of a run with these times."""
    return measurements(step__mean_s=one.step_s, workload=one)


def input_bound(**options: float) -> Workload:
    """Return a loop of 30 ms and a checkpoint of 100 ms every ten steps, starved by two workers: 60 ms a batch."""
    return workload(lane([0.12], [SAVES], forward=0.01, backward=0.02), feeding=TWO, **options)


def test_the_run_as_it_was_is_given_back() -> None:
    one = workload(lane(service_times(0.05, 0.5), forward=0.01, backward=(0.01, 0.03)), feeding=TWO)
    assert Simulator(one).reproduction_err == pytest.approx(0, abs=1e-9)


def test_what_is_not_reproduced_within_5_percent_is_not_predicted() -> None:
    off = replace(input_bound(), step_s=input_bound().step_s * 1.06)
    assert what_if(run_of(off), FASTER_FETCH).speedup is None
    near = replace(input_bound(), step_s=input_bound().step_s * 1.04)
    assert what_if(run_of(near), FASTER_FETCH).basis == "simulation"


def test_a_checkpoint_that_hides_behind_the_loader_gains_nothing() -> None:
    found = what_if(run_of(input_bound()), Change(seldom=(("checkpoint", 100.0),)))
    assert found.speedup is not None
    assert found.speedup.likely == pytest.approx(1.0, abs=0.02)
    assert found.next_wall == "dataloader"


def test_the_same_checkpoint_counts_in_full_where_nothing_hides_it() -> None:
    alone = workload(lane((), [SAVES], forward=0.01, backward=0.02))
    found = what_if(run_of(alone), Change(seldom=(("checkpoint", 10.0),)))
    assert found.after_s == pytest.approx(0.031)
    assert found.next_wall == "compute"


def test_what_hides_behind_each_other_gains_only_together() -> None:
    one = workload(lane([0.08], forward=0.04), feeding=TWO)  # loader and model take 40 ms each
    loader, model = FASTER_FETCH, faster(forward=0.5)
    alone = [what_if(run_of(one), change).speedup for change in (loader, model)]
    both = combine(run_of(one), [loader, model])
    assert all(speedup is not None and speedup.likely < 1.02 for speedup in alone)
    assert both.speedup is not None and both.speedup.likely == pytest.approx(2.0, rel=0.02)


def test_savings_of_a_loop_that_overlaps_nothing_join() -> None:
    one = workload(lane((), forward=0.05, logging=0.03, optimizer=0.02))
    both = combine(run_of(one), [faster(logging=0.0), faster(optimizer=0.5)])
    assert both.after_s == pytest.approx(0.06)


def test_after_faster_fetching_the_model_is_the_wall() -> None:
    one = workload(lane([0.2], forward=0.04, backward=0.04), feeding=TWO)
    assert what_if(run_of(one), Change(io_factor=0.9)).next_wall == "dataloader"
    found = what_if(run_of(one), Change(io_factor=0.1))
    assert found.next_wall == "compute"
    assert found.speedup is not None and found.speedup.high == pytest.approx(0.1 / 0.08, rel=0.01)


def test_overhead_is_the_wall_where_computing_is_mostly_issuing() -> None:
    one = workload(lane([0.2], forward=0.04, backward=0.04), feeding=TWO)
    given = measurements({"step.mean_s": one.step_s, "host.dispatch_s": 0.04}, workload=one)
    assert what_if(given, Change(io_factor=0.1)).next_wall == "host_overhead"


def test_logging_less_often_leaves_every_tenth_call() -> None:
    one = workload(lane((), forward=0.02, logging=(0.0, 0.01)))
    assert what_if(run_of(one), Change(seldom=(("logging", 10.0),))).after_s == pytest.approx(0.0205)


def test_workers_that_live_on_save_their_start_but_not_the_first_batch() -> None:
    feeding = replace(TWO, epoch_steps=10, start_s=0.2, fresh_s=0.3)
    one = workload(lane([0.02], forward=0.03), feeding=feeding)
    assert one.step_s == pytest.approx(0.1 * (0.2 + 0.3 + 0.02 + 0.3))
    found = what_if(run_of(one), Change(persistent=True))
    assert found.after_s == pytest.approx(0.1 * (0.02 + 0.3))


RENEWED = replace(TWO, epoch_steps=10, start_s=0.2, fresh_s=0.3, renewed_frac=1.0)


def test_workers_of_a_loader_that_is_made_anew_are_not_kept() -> None:
    one = workload(lane([0.02], forward=0.03), feeding=RENEWED)
    kept = what_if(run_of(one), Change(persistent=True))
    assert kept.speedup is not None and kept.speedup.likely == pytest.approx(1.0)
    assert what_if(run_of(one), Change(once=True)).after_s == pytest.approx(one.step_s)
    found = combine(run_of(one), [Change(persistent=True), Change(once=True)])
    assert found.after_s == pytest.approx(0.1 * (0.02 + 0.3))


def test_a_script_that_asked_for_lasting_workers_has_only_to_keep_the_loader() -> None:
    one = workload(lane([0.02], forward=0.03), feeding=replace(RENEWED, persistent=True))
    assert what_if(run_of(one), Change(once=True)).after_s == pytest.approx(0.1 * (0.02 + 0.3))


@pytest.mark.parametrize("epoch", [10, 10_000])
def test_what_is_made_anew_now_and_then_keeps_that_part_of_the_starts(epoch: int) -> None:
    half = replace(RENEWED, renewed_frac=0.5, epoch_steps=epoch)
    one = workload(lane([0.02], forward=0.03), feeding=half)
    kept = what_if(run_of(one), Change(persistent=True))
    assert kept.after_s == pytest.approx(one.step_s - (0.1 + 0.15) / epoch)


def test_more_workers_of_a_loader_that_is_made_anew_start_longer() -> None:
    one = workload(lane([0.3], forward=0.1), feeding=replace(RENEWED, start_s=0.6, fresh_s=0.0))
    kept = Simulator(replace(one, feeding=replace(RENEWED, start_s=0.6, fresh_s=0.0, renewed_frac=0.0)))
    change = Change(workers=8, persistent=True)
    starts = Simulator(one).step_s(change) - kept.step_s(change)
    assert starts == pytest.approx(0.1 * 0.6 * 9 / 3)  # parts: one for each worker, one for the iterator


def test_first_workers_of_a_loader_that_is_made_anew_are_not_free() -> None:
    none = Feeding(workers=0, blocked_frac=1.0, epoch_steps=10)
    steps = [
        Simulator(workload(lane([0.02], forward=0.03), feeding=replace(none, renewed_frac=part))).step_s(
            Change(workers=2, persistent=True)
        )
        for part in (0.0, 1.0)
    ]
    assert steps[1] - steps[0] == pytest.approx(0.1 * 0.015)  # what two take in a small process


def test_a_long_epoch_spreads_its_start() -> None:
    feeding = replace(TWO, epoch_steps=10_000, start_s=50.0)
    one = workload(lane([0.02], forward=0.03), feeding=feeding)
    assert one.step_s == pytest.approx(0.03 + (50 + 0.02) / 10_000, rel=1e-3)


def test_a_step_of_four_batches_asks_the_loader_four_times() -> None:
    one = workload(lane([0.04], forward=0.02, steps=20), feeding=replace(TWO, batches=4))
    assert one.step_s == pytest.approx(0.08)


def test_a_device_that_is_busy_gains_nothing_from_a_faster_host() -> None:
    one = workload(lane((), forward=0.02, backward=0.03, sync=0.04, device_s=0.09), synced=True)
    assert one.step_s == pytest.approx(0.09)
    host = what_if(run_of(one), faster(forward=0.5, backward=0.5))
    assert host.speedup is not None and host.speedup.likely == pytest.approx(1.0)
    assert what_if(run_of(one), Change(device_factor=0.5)).after_s == pytest.approx(0.05)


def test_a_sync_costs_only_what_the_host_could_do_meanwhile() -> None:
    one = workload(lane((), forward=0.02, sync=0.06, other=0.01, device_s=0.08), synced=True, ahead=4)
    run = Simulator(one)
    assert one.step_s == pytest.approx(0.09)
    change = shorter(run, "sync", 0.06)
    assert change is not None and run.step_s(change) == pytest.approx(0.08, rel=0.01)


def test_the_slowest_rank_sets_the_step() -> None:
    fast = lane((), backward=0.04, communication=0.03)
    slow = lane((), backward=0.06, communication=0.01)
    one = workload(fast, slow)
    assert one.step_s == pytest.approx(0.07)
    assert what_if(run_of(one), faster(communication=0.0)).after_s == pytest.approx(0.06)
    assert what_if(run_of(one), Change(overlap=1.0)).after_s == pytest.approx(0.06)


def test_seconds_are_taken_off_the_phases_named_then_off_those_of_the_bottleneck() -> None:
    run = Simulator(workload(lane((), forward=0.02, logging=0.01, other=0.03)))

    def left(*asked: Any) -> dict[str, float]:
        change = shorter(run, *asked)
        assert change is not None
        return dict(change.phases)

    assert left("logging", 0.005) == pytest.approx({"logging": 0.5})
    assert left("logging", 0.025) == pytest.approx({"logging": 0.0, "other": 0.5})
    assert left("dataloader", 0.01, ("forward",)) == pytest.approx({"forward": 0.5})
    assert shorter(run, "logging", 0.05) is None


def test_a_mitigation_names_the_phases_it_speaks_of() -> None:
    assert phases_named(["step.backward_s", "step.mean_s", "checkpoint.each_s", "x"]) == (
        "backward",
        "checkpoint",
    )
    assert phases_named(["step.data_wait_s", "device.is_cuda"]) == ()


def test_less_often_keeps_bursts_where_the_time_named_is_that_of_the_phase() -> None:
    run = Simulator(workload(lane((), forward=0.02, logging=(0.0, 0.02))))
    assert less_often(run, "logging", 0.01, 4.0) == Change(seldom=(("logging", 4.0),))
    part = less_often(run, "logging", 0.005, 2.0)
    assert part is not None and dict(part.phases) == pytest.approx({"logging": 0.75})


def test_ranges_hold_the_likely_value_and_grow_with_doubt() -> None:
    sure = what_if(run_of(input_bound()), FASTER_FETCH).speedup
    varied = workload(
        lane(service_times(0.12, 1.0)[:100], [SAVES], forward=0.01, backward=(0.01, 0.03)), feeding=TWO
    )
    unsure = what_if(run_of(varied), FASTER_FETCH).speedup
    assert sure is not None and unsure is not None
    assert sure.low <= sure.likely <= sure.high
    assert unsure.low <= unsure.likely <= unsure.high
    assert unsure.high / unsure.low > sure.high / sure.low


def test_changing_nothing_is_certain_to_gain_nothing() -> None:
    found = what_if(run_of(input_bound()), NOTHING).speedup
    assert found is not None and (found.low, found.likely, found.high) == (1, 1, 1)


def test_the_same_times_give_the_same_estimate() -> None:
    first = what_if(run_of(input_bound()), FASTER_FETCH)
    assert Simulator(input_bound()).spread(FASTER_FETCH) == Simulator(input_bound()).spread(FASTER_FETCH)
    assert what_if(run_of(input_bound()), FASTER_FETCH) == first


def test_predictions_are_measurements_too() -> None:
    given = measurements(
        {"step.mean_s": input_bound().step_s, "host.usable_cores": 8, "input.cpu_frac": 0.0},
        workload=input_bound(),
    )
    found = with_predictions(given)
    assert found.number("predict.reproduction_err_frac") == pytest.approx(0, abs=1e-9)
    assert found.number("predict.best_workers") == 4  # 120 ms in 40 ms a step, and a little for doubt
    assert with_predictions(found) is found
    assert with_predictions(measurements(step__mean_s=1.0)) == measurements(step__mean_s=1.0)


def test_no_more_workers_than_memory_holds() -> None:
    given = {
        "step.mean_s": input_bound().step_s, "host.usable_cores": 8, "input.cpu_frac": 0.0, "input.workers": 2,
        "host.workers_rss_bytes": 4e9, "host.memory_available_bytes": 3e9,
    }  # fmt: skip
    best = best_workers(measurements(given, workload=input_bound()))
    assert best is not None and best.workers == 3


def test_no_more_workers_than_help_on_crowded_cores() -> None:
    feeding = Feeding(workers=1, blocked_frac=0.0)
    busy = workload(lane([0.06], forward=0.05), feeding=feeding, cores=2.0, loop_cores=2.0)
    given = {"step.mean_s": busy.step_s, "host.usable_cores": 2, "input.cpu_frac": 0.25}
    best = best_workers(measurements(given, workload=busy))
    assert best is not None and best.workers <= 2


phase = st.sampled_from(["h2d", "forward", "backward", "optimizer", "communication", "logging", "other"])
factors = st.dictionaries(phase, st.floats(0, 1), max_size=3).map(lambda some: faster(**some))
changes = st.one_of(
    factors,
    st.builds(Change, cpu_factor=st.floats(0.1, 1), io_factor=st.floats(0.1, 1)),
    st.builds(Change, prefetch=st.integers(2, 5)),
    st.builds(Change, persistent=st.just(True), once=st.booleans()),
    st.builds(lambda times: Change(seldom=(("checkpoint", times),)), st.floats(1, 50)),
)
loads = st.builds(
    lambda making, back, cv, workers, epoch, renewed: workload(
        lane(
            service_times(making, cv)[:80], [SAVES], steps=80,
            forward=0.01, backward=(0.01, back), optimizer=0.004, logging=(0.0, 0.0, 0.01),
        ),
        feeding=Feeding(
            workers=workers, blocked_frac=0.5, epoch_steps=epoch, start_s=0.05, renewed_frac=renewed
        ),
    ),
    st.floats(0.005, 0.2), st.floats(0.001, 0.1), st.floats(0, 1), st.integers(0, 4), st.sampled_from([None, 20]),
    st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip


@settings(max_examples=60)
@given(loads, st.lists(changes, min_size=2, max_size=3))
def test_changes_together_gain_at_least_as_much_as_each_and_never_beat_a_resource(
    one: Workload, some: list[Change]
) -> None:
    run, every = Simulator(one), together(some)
    step = run.step_s(every)
    # A stall that moves to another step, or is spread evenly, may meet the queue at a worse moment: 2 %.
    assert step <= min(run.step_s(change) for change in some) * 1.02
    no_wait = Change(cpu_factor=0, io_factor=0, persistent=True, once=True)
    assert step >= run.step_s(together([every, no_wait])) * 0.98
    without_loop = faster(**dict.fromkeys(("forward", "backward", "optimizer", "logging", "checkpoint"), 0.0))
    assert step >= run.step_s(together([every, without_loop])) * 0.98


@settings(max_examples=60)
@given(st.lists(changes, min_size=2, max_size=4))
def test_changes_are_the_same_in_any_order(some: list[Change]) -> None:
    one, other = together(some), together(reversed(some))
    assert [name for name, _ in one.phases] == [name for name, _ in other.phases]
    assert dict(one.phases) == pytest.approx(dict(other.phases))
    assert (one.workers, one.prefetch) == (other.workers, other.prefetch)
    assert (one.persistent, one.once) == (other.persistent, other.once)
    assert (one.cpu_factor, one.io_factor) == pytest.approx((other.cpu_factor, other.io_factor))


@settings(max_examples=40)
@given(loads, st.integers(2, 3))
def test_more_workers_are_never_slower_while_cores_are_free(one: Workload, times: int) -> None:
    assert one.feeding is not None
    several = replace(one.feeding, workers=max(1, one.feeding.workers), start_s=0.0)
    run = Simulator(replace(one, feeding=several))
    assert run.step_s(Change(workers=several.workers * times)) <= run.step_s() * 1.02
