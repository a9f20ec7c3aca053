"""From two arms to one comparison: the same steps, whole periods, what was made, what the machine did."""

from __future__ import annotations

import numpy as np
import pytest
from trainbottleneck.model.arm import Arm
from trainbottleneck.model.record import SystemSample
from trainbottleneck.model.trial import Change
from trainbottleneck.verify.pairs import measure, result, surroundings

CHANGE = Change(mitigation="dl_workers", override="loader", settings={"num_workers": 2.0})
COMPILE = Change(mitigation="torch_compile", override="compile", settings={})


def arm(steps: list[float], start_s: float = 2.0, **more: object) -> Arm:
    """Return an arm whose steps took these seconds, the first after ``start_s``."""
    ends = (np.cumsum([start_s, *steps]) * 1e9).astype(np.int64)
    values: dict[str, object] = {
        "start_ns": 0,
        "ends_ns": ends,
        "losses": (),
        "told": (),
        "pids": (1,),
        "system": (),
        "seconds": float(ends[-1]) / 1e9,
        **more,
    }
    return Arm(**values)  # type: ignore[arg-type]


def told(name: str, state: str, detail: str = "") -> dict[str, object]:
    """Return what an override tells."""
    return {"name": name, "state": state, "detail": detail}


def test_the_same_steps_of_both_arms_are_compared() -> None:
    base, other = arm([0.1] * 60), arm([0.05] * 80)
    found = measure(base, other, [CHANGE], queue=0)
    assert found is not None and found.last == 61
    assert found.base_s == pytest.approx(0.1) and found.arm_s == pytest.approx(0.05)
    assert found.longer_s == pytest.approx(0.0, abs=0.1)  # a step more or less


def test_a_longer_start_is_told_apart_from_the_steps() -> None:
    base, other = arm([0.1] * 60), arm([6.0, *[0.05] * 79], start_s=3.0)
    found = measure(base, other, [COMPILE], queue=0)
    assert found is not None and found.arm_s == pytest.approx(0.05)
    assert found.longer_s == pytest.approx(1.0 + 5.95, abs=0.1)


def test_a_stall_that_recurs_counts_in_whole_periods() -> None:
    steps = [0.5 if number % 20 == 19 else 0.1 for number in range(70)]
    found = measure(arm(steps), arm([0.1] * 70), [CHANGE], queue=0, every=20)
    assert found is not None and (found.last - found.warm) % 20 == 0
    assert found.base_s == pytest.approx(0.12) and found.arm_s == pytest.approx(0.1)


@pytest.mark.parametrize("steps", [3, 15, 24])
def test_an_arm_that_has_not_settled_is_no_comparison(steps: int) -> None:
    slower = [0.1 * 1.5 ** (number // 5) for number in range(steps)]
    assert measure(arm([0.1] * 60), arm(slower), [CHANGE], queue=0) is None
    assert not result(arm([0.1] * 60), arm(slower), [CHANGE], None).settled


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([told("loader", "applied")], ""),
        ([told("loader", "refused", "a stream"), told("loader", "applied")], ""),
        ([told("loader", "refused", "a stream")], "a stream"),
        ([], "loader: there was nothing to change"),
        ([told("threads", "applied")], "loader: there was nothing to change"),
    ],
)
def test_an_arm_counts_where_each_change_was_made(events: list[dict[str, object]], reason: str) -> None:
    base, other = arm([0.1] * 60), arm([0.1] * 60, told=tuple(events))
    assert result(base, other, [CHANGE], measure(base, other, [CHANGE], 0)).refused == reason


def sample(second: float, processes: dict[int, float], **machine: float) -> SystemSample:
    """Return a reading at ``second``; ``processes`` are their CPU seconds."""
    return SystemSample(
        time_ns=int(second * 1e9),
        machine=machine,
        processes={pid: {"cpu_s": value, "run_queue_s": value / 10} for pid, value in processes.items()},
    )


def test_what_the_machine_did_is_read_between_the_measured_steps() -> None:
    readings = (
        sample(1, {1: 50.0}, psi_cpu_some_s=90.0, cores_busy=2.0, steal_frac=0.9, swap_in_bytes=5.0),
        sample(3, {1: 60.0}, psi_cpu_some_s=100.0, cores_busy=2.0, steal_frac=0.9, swap_in_bytes=10.0),
        sample(
            5, {1: 61.0, 7: 0.5}, psi_cpu_some_s=100.2, cores_busy=1.0, steal_frac=0.1, swap_in_bytes=10.0
        ),
        sample(
            9, {1: 64.0, 7: 2.0}, psi_cpu_some_s=100.6, cores_busy=1.4, steal_frac=0.3, swap_in_bytes=10.0
        ),
    )
    one = arm([0.1] * 60, start_s=3.5, system=readings, seconds=10.0, cpu_s=9.0)
    found = measure(one, one, [], queue=0)
    assert found is not None
    seen = surroundings(one, found)
    assert seen.seconds == pytest.approx(6.0)
    assert seen.steal_frac == pytest.approx(0.2)
    assert seen.psi_cpu_frac == pytest.approx(10.6 / 8)  # of its whole life, as is who had the cores
    assert seen.busy_cores == pytest.approx((2.0 + 1.0 + 1.4) / 3) and seen.own_cores == pytest.approx(0.9)
    assert seen.own_wait_frac == pytest.approx(0.4 / 6)
    assert seen.swap_in_bytes == 0 and seen.throttled_s is None


def test_heat_of_a_gpu_counts_by_the_samples_that_saw_it() -> None:
    hot, cool = ({"throttle_thermal": 1.0},), ({"throttle_thermal": 0.0},)
    readings = tuple(
        SystemSample(time_ns=int(second * 1e9), machine={}, processes={}, devices=each)
        for second, each in ((3, cool), (5, hot), (7, cool), (9, hot))
    )
    one = arm([0.1] * 60, start_s=3.5, system=readings, quota_cores=1.5)
    found = measure(one, one, [], queue=0)
    assert found is not None
    seen = surroundings(one, found)
    assert seen.heat_frac == pytest.approx(0.5) and seen.quota_cores == 1.5


def test_without_readings_nothing_is_claimed_about_the_machine() -> None:
    one = arm([0.1] * 60)
    found = measure(one, one, [], queue=0)
    assert found is not None
    seen = surroundings(one, found)
    assert seen.psi_cpu_frac is None and seen.own_cores is None
