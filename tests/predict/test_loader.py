"""The recursion of the torch DataLoader."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.predict.loader import Pipeline, floor_s, service_times, slowdown, step_time

EDGE = 0.02  # a window of 1,024 batches begins and ends with a queue of some length

seconds = st.floats(0.001, 1.0)
pipelines = st.builds(
    Pipeline,
    workers=st.integers(0, 12),
    prefetch=st.integers(1, 6),
    cpu_s=seconds,
    io_s=seconds,
    cv=st.floats(0, 1.5),
    step_s=seconds,
    receive_s=st.floats(0, 0.01),
    cores=st.floats(1, 16),
    loop_cores=st.floats(0.1, 4),
)


def pipeline(**changes: float) -> Pipeline:
    """Return a loader with more cores than it can use."""
    base = Pipeline(workers=4, prefetch=2, cpu_s=0.1, io_s=0.0, cv=0.0, step_s=0.04, cores=64)
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("cv", [0.05, 0.3, 1.0, 2.0])
def test_service_times_have_the_mean_and_spread_asked_for(cv: float) -> None:
    times = service_times(0.1, cv)
    assert statistics.fmean(times) == pytest.approx(0.1)
    assert statistics.pstdev(times) / 0.1 == pytest.approx(cv, rel=0.02)
    assert min(times) > 0


def test_service_times_at_a_spread_of_one_are_exponential() -> None:
    times = sorted(service_times(1.0, 1.0))
    assert times[len(times) // 2] == pytest.approx(0.693, rel=0.01)
    assert times[len(times) * 9 // 10] == pytest.approx(2.303, rel=0.01)


def test_service_times_leave_the_global_generator_alone() -> None:
    import random

    random.seed(3)
    state = random.getstate()
    service_times(0.123, 0.7)
    assert random.getstate() == state


def test_without_workers_the_step_contains_the_batch() -> None:
    assert step_time(pipeline(workers=0, cv=1.0)) == pytest.approx(0.14)


def test_equal_batches_take_the_slower_of_loader_and_loop() -> None:
    assert step_time(pipeline()) == pytest.approx(0.04)
    assert step_time(pipeline(workers=1)) == pytest.approx(0.1)
    assert step_time(pipeline(workers=2)) == pytest.approx(0.05)


def test_spread_costs_what_the_larger_of_two_means_hides() -> None:
    # knowledge/causal.md, 0.3: W=4, P=2, mean 100 ms, CV=2, loop 40 ms gives 61.6 ms where max() says 40.
    assert step_time(pipeline(cv=2.0)) == pytest.approx(0.0616, rel=0.05)


def test_a_longer_queue_hides_bursts() -> None:
    assert step_time(pipeline(cv=2.0, prefetch=16)) < 0.9 * step_time(pipeline(cv=2.0))


def test_workers_on_too_few_cores_share_them() -> None:
    # Two busy workers and a loop that keeps two cores busy have two cores: 60 + 2 * 20 ms of work in 2 cores.
    crowded = pipeline(workers=2, cpu_s=0.06, step_s=0.02, cores=2, loop_cores=2)
    assert step_time(crowded) == pytest.approx(0.05, rel=0.02)


def test_one_worker_beside_a_busy_loop_is_slowed_while_the_loop_computes() -> None:
    # While the loop computes, three threads share two cores: 30 ms for the loop and 20 ms of the batch; the
    # other 40 ms of the batch run alone.
    one = pipeline(workers=1, cpu_s=0.06, step_s=0.02, cores=2, loop_cores=2)
    assert slowdown(one).loop == pytest.approx(1.5)
    assert step_time(one) == pytest.approx(0.07)


def test_workers_that_wait_for_reads_leave_the_cores_free() -> None:
    assert slowdown(pipeline(workers=8, cpu_s=0.001, io_s=0.1, cores=2)).worker < 1.1


@settings(max_examples=150)
@given(pipelines)
def test_no_step_is_faster_than_its_busiest_resource(one: Pipeline) -> None:
    assert step_time(one) >= floor_s(one) * (1 - EDGE)


@settings(max_examples=80)
@given(pipelines, st.integers(2, 3))
def test_more_workers_are_never_slower_while_cores_are_free(one: Pipeline, times: int) -> None:
    # For unequal batches this holds for multiples only, where each worker keeps a part of its batches: with 3
    # workers instead of 2 one long batch can land in a worse place (Graham's anomalies).
    free = replace(one, workers=max(1, one.workers), cores=1000.0)
    assert step_time(replace(free, workers=free.workers * times)) <= step_time(free) * (1 + EDGE)


@settings(max_examples=80)
@given(pipelines)
def test_one_more_worker_is_never_slower_for_equal_batches(one: Pipeline) -> None:
    free = replace(one, workers=max(1, one.workers), cores=1000.0, cv=0.0)
    assert step_time(replace(free, workers=free.workers + 1)) <= step_time(free) * (1 + EDGE)


@settings(max_examples=80)
@given(pipelines, st.floats(0, 1), st.sampled_from(["io_s", "step_s"]))
def test_less_of_anything_that_takes_no_core_is_never_slower(one: Pipeline, factor: float, part: str) -> None:
    free = replace(one, cores=1000.0)
    less = replace(free, **{part: getattr(free, part) * factor})
    assert step_time(less) <= step_time(free) * (1 + EDGE)


@settings(max_examples=60)
@given(pipelines)
def test_contention_only_slows_down(one: Pipeline) -> None:
    slow = slowdown(one)
    assert slow.worker >= 1 - 1e-9
    assert slow.loop >= 1 - 1e-9
    alone = slowdown(replace(one, cores=1000.0))
    assert (alone.worker, alone.loop) == pytest.approx((1.0, 1.0))
