"""Which pairs are dropped for what the machine did, and which are not because the run did it to itself."""

from __future__ import annotations

from dataclasses import replace

from trainbottleneck.verify.disturbance import Surroundings, disturbed, pressure_of_others, too_noisy

CALM = Surroundings(
    seconds=10,
    steal_frac=0.0,
    throttled_s=0.0,
    quota_cores=2.0,
    heat_frac=0.0,
    psi_cpu_frac=0.02,
    busy_cores=1.05,
    own_cores=1.0,
    own_wait_frac=0.01,
    swap_in_bytes=0,
)
HOG = replace(CALM, psi_cpu_frac=0.6, busy_cores=2.0, own_cores=1.2, own_wait_frac=0.3)


def test_a_calm_machine_disturbs_nothing() -> None:
    assert disturbed(CALM, CALM) is None


def test_what_is_not_known_drops_nothing() -> None:
    nothing = Surroundings(seconds=10)
    assert disturbed(nothing, nothing) is None and pressure_of_others(nothing) is None


def test_steal_above_five_percent_in_either_arm_drops_the_pair() -> None:
    stolen = replace(CALM, steal_frac=0.06)
    assert disturbed(stolen, CALM) == disturbed(CALM, stolen) == "the hypervisor took CPU time"
    assert disturbed(CALM, replace(CALM, steal_frac=0.05)) is None


def test_another_program_on_the_cores_in_one_arm_drops_the_pair() -> None:
    assert disturbed(CALM, HOG) == disturbed(HOG, CALM) == "other programs took the cores"


def test_a_job_with_more_threads_than_cores_makes_its_own_pressure() -> None:
    """Two workers and the model on two cores wait all the time, and nobody else runs."""
    crowded = replace(CALM, psi_cpu_frac=0.9, busy_cores=2.0, own_cores=1.97, own_wait_frac=0.4)
    assert disturbed(CALM, crowded) is None


def test_others_on_cores_the_job_does_not_need_take_nothing_from_it() -> None:
    """A container with 4 of 128 cores sees the load of the whole machine."""
    large = replace(CALM, psi_cpu_frac=0.9, busy_cores=60.0, own_wait_frac=0.01)
    assert disturbed(CALM, large) is None


def test_a_neighbour_that_both_arms_had_alike_is_the_machine_as_it_is() -> None:
    assert disturbed(HOG, replace(HOG, busy_cores=2.0, own_cores=1.15)) is None


def test_pressure_is_at_most_what_others_had_of_the_cores() -> None:
    assert pressure_of_others(replace(HOG, own_cores=1.95)) == 2.0 - 1.95


def test_a_quota_used_up_by_the_job_itself_is_no_disturbance() -> None:
    throttled = replace(CALM, throttled_s=3.0)
    assert disturbed(CALM, replace(throttled, own_cores=1.8)) is None
    assert disturbed(CALM, replace(throttled, own_cores=0.5)) == "the CPU quota was used up by other programs"


def test_a_gpu_that_became_hot_in_one_arm_drops_the_pair_and_one_always_hot_does_not() -> None:
    hot = replace(CALM, heat_frac=0.5)
    assert disturbed(hot, CALM) == "heat held the GPU's clock back"
    assert disturbed(hot, hot) is None


def test_swapping_in_one_percent_of_the_time_drops_the_pair_and_says_with_what() -> None:
    swapped = replace(CALM, swap_in_bytes=50e6)
    assert disturbed(swapped, CALM) == "the machine swapped"
    assert disturbed(CALM, swapped) == "the machine swapped, with the changes only"
    assert disturbed(CALM, replace(CALM, swap_in_bytes=4096)) is None


def test_the_machine_is_too_noisy_from_four_lost_pairs_in_ten_on() -> None:
    assert too_noisy(7, {"a": 3}) is None and too_noisy(1, {"a": 3}) is None
    said = too_noisy(6, {"a": 1, "b": 3})
    assert said and "4 of 10" in said and said.endswith("b")
