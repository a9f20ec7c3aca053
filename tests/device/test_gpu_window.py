"""A GPU in the deep window: what its trace tells stands beside what was measured without a profiler."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from analyze.records import Loop, run
from hypothesis import given
from hypothesis import strategies as st
from ingest.traces import Builder, training
from trainbottleneck import rulebook
from trainbottleneck.analyze.measure import analyse
from trainbottleneck.analyze.trace_notes import sentences
from trainbottleneck.analyze.values import Values
from trainbottleneck.analyze.window import analyse as give
from trainbottleneck.analyze.window import summary
from trainbottleneck.cli.device_window import device_of
from trainbottleneck.collect.deep import digest
from trainbottleneck.collect.trace_operators import has_device_work
from trainbottleneck.diagnose.engine import judge
from trainbottleneck.model.measurement import Measurements

RULES = rulebook.load().bottlenecks.values()


def live(told: Any, step_s: float = 1e-3) -> Measurements:
    """Return what is known of a run of steps that long whose window told ``told``."""
    loop = Loop()
    for _ in range(60):
        loop.forward(0.3 * step_s).backward(0.5 * step_s).step(0.2 * step_s)
    return analyse(replace(run(loop.process()), deep={100: {"device": told}})).measurements


def shares(found: Measurements) -> dict[str, float]:
    """Return the shares of the device's time by name."""
    names = [name for name in found.values_by_id if name.startswith("device.") and name.endswith("_frac")]
    return {name.removeprefix("device.").removesuffix("_frac"): found[name].value for name in names}


def profiled(wall_s: float, **parts: float) -> dict[str, Any]:
    """Return what a window told: shares of profiled steps that are so long."""
    rows = {f"device.{name}_frac": {"value": v, "interval": None, "samples": 3} for name, v in parts.items()}
    return {"steps": 3, "wall_s": wall_s, "measurements": rows}


def test_a_window_is_read_as_any_trace(tmp_path: Path) -> None:
    told = device_of(training(wait=400, marks=False).save(tmp_path / "trace-7.json"))
    assert told is not None and told["wall_s"] == pytest.approx(1e-3)
    assert json.loads(json.dumps(told))["measurements"]["device.compute_frac"]["value"] == pytest.approx(0.4)
    found = live(told)
    assert found.number("device.traced") == 1
    assert shares(found)["idle_input"] == pytest.approx(0.395, abs=0.01)
    assert shares(found)["h2d_exposed"] == pytest.approx(0.02)
    assert found.number("device.kernels_per_step") == pytest.approx(7)


def test_what_the_profiler_adds_to_the_host_is_no_idling(tmp_path: Path) -> None:
    found = shares(live(profiled(2e-3, busy=0.2, compute=0.2, idle_host=0.7, idle_sync=0.1, idle=0.8)))
    assert found["compute"] == found["busy"] == pytest.approx(0.4)
    assert found["idle"] == pytest.approx(0.6)
    assert found["idle_host"] == pytest.approx(0.4) and found["idle_sync"] == pytest.approx(0.2)


def test_a_device_that_is_busy_all_the_time_is_not_busy_for_longer_than_a_step() -> None:
    found = shares(live(profiled(1.1e-3, busy=1.0, compute=1.0, idle=0.0, idle_host=0.0)))
    assert found["busy"] == found["compute"] == pytest.approx(1.0) and found["idle"] == pytest.approx(0.0)


def test_longer_steps_without_a_profiler_leave_the_device_idle_for_no_known_reason() -> None:
    found = shares(live(profiled(1e-3, busy=0.8, compute=0.8, idle=0.2, idle_host=0.2), step_s=2e-3))
    assert found["compute"] == pytest.approx(0.4) and found["idle_host"] == pytest.approx(0.1)
    assert found["idle"] == pytest.approx(0.6)


PART = st.floats(0, 1)


@given(st.tuples(PART, PART, PART, PART, PART), st.floats(1e-5, 10), st.floats(1e-5, 10))
def test_shares_are_shares(parts: tuple[float, ...], wall: float, mean: float) -> None:
    whole = sum(parts) or 1.0
    names = ("compute", "idle_host", "idle_sync", "idle_input", "idle_queue")
    told = {name: part / whole for name, part in zip(names, parts, strict=True)}
    values = Values()
    values.give("step.mean_s", mean)
    give(profiled(wall, busy=told["compute"], idle=1 - told["compute"], **told), values)
    found = shares(values.build())
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in found.values()), found
    assert found["busy"] + sum(found[name] for name in names[1:]) <= 1 + 1e-9
    assert found["busy"] + found["idle"] == pytest.approx(1)


def _state(found: Measurements, rule: str) -> str:
    return next(one.state for one in judge(found, RULES) if one.rule == rule)


def test_a_gpu_that_computes_all_the_time_is_healthy_whatever_the_host_does() -> None:
    found = live(profiled(1e-3, busy=0.95, compute=0.93, idle=0.05, idle_host=0.05))
    assert (_state(found, "busy_device"), _state(found, "compute")) == ("unknown", "silent")
    whole = {"idle_host": 0.05, "idle_sync": 0.0, "idle_input": 0.0, "h2d_exposed": 0.02, "comm_exposed": 0.0}
    found = live(profiled(1e-3, busy=0.95, compute=0.93, idle=0.05, **whole))
    assert (_state(found, "busy_device"), _state(found, "idle_device")) == ("fires", "silent")


def test_a_gpu_that_waits_for_the_host_is_host_overhead(tmp_path: Path) -> None:
    trace = Builder()
    for number in range(6):
        at = number * 1000.0
        for kernel in range(20):
            trace.op("aten::mul", at + 45 * kernel, 30)
            trace.kernel(at + 45 * kernel + 20, 6, at + 45 * kernel + 10)
        trace.op("autograd::engine::evaluate_function: MulBackward0", at + 905, 20, thread=200)
        trace.note("Optimizer.step#SGD.step", at + 940, 50)
        trace.kernel(at + 960, 5, at + 950)
    found = live(device_of(trace.save(tmp_path / "trace-1.json")))
    assert _state(found, "idle_device") == "fires"
    assert shares(found)["idle_host"] == pytest.approx(0.875, abs=0.02)
    assert found.number("device.kernels_per_step") == pytest.approx(21)


@pytest.mark.parametrize(
    "told", [None, {}, [], {"wall_s": 1.0}, {"wall_s": "x", "measurements": {}}, profiled(0.0, busy=1.0)]
)
def test_nothing_or_damage_is_no_device(told: Any) -> None:
    found = live(told)
    assert found.number("device.traced") == 0 and "device.compute_frac" not in found.values_by_id
    assert "profiled" in found.missing["device.compute_frac"]


def test_a_trace_without_steps_tells_nothing(tmp_path: Path) -> None:
    trace = Builder()
    trace.op("aten::mul", 0, 30)
    trace.kernel(20, 6, 10)
    assert device_of(trace.save(tmp_path / "trace-1.json")) is None
    assert summary(Loop().plain(20).process()) is None  # a run of our own holds no device work


def _marked(trace: Builder, steps: int) -> Mapping[str, Any]:
    for number in range(steps + 1):
        trace.note("bottleneck#step", number * 1000.0, 0.1)
    return dict(json.loads(trace.text()))


def test_only_traces_of_a_gpu_are_read_for_it(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    on_gpu, on_cpu = _marked(training(marks=False), 5), _marked(Builder(), 5)
    assert has_device_work(on_gpu) and not has_device_work(on_cpu)
    for number, trace in enumerate((on_gpu, on_cpu)):
        (folder / f"trace-{number}.json").write_text(json.dumps(trace))
    asked = []

    def ask(path: Path) -> Mapping[str, Any] | None:
        asked.append(path.name)
        return device_of(path)

    assert digest(tmp_path, False, ask) == ()
    assert asked == ["trace-0.json"]
    assert json.loads((folder / "device-0.json").read_text())["steps"] >= 3
    assert not (folder / "device-1.json").exists()


def test_the_reader_is_told_where_it_comes_from(tmp_path: Path) -> None:
    record = run(Loop().plain(40).process())
    found = live(profiled(1e-3, busy=0.9, compute=0.9))
    (told,) = sentences(record, found, None)
    assert "3 steps under the profiler" in told
    assert sentences(record, live(None), None) == ()
