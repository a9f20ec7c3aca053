"""Shares of a step by what limits it, from records built by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from analyze.records import Loop, run
from hypothesis import given
from hypothesis import strategies as st
from trainbottleneck.analyze.counted import read_counted
from trainbottleneck.analyze.measure import analyse
from trainbottleneck.analyze.modules import by_class, rows
from trainbottleneck.analyze.roofline import rows as operator_rows
from trainbottleneck.analyze.timeline import build
from trainbottleneck.analyze.trainer import find_trainers
from trainbottleneck.model.measurement import Measurements
from trainbottleneck.model.record import RunRecord

PROBED = {"flops_per_s": {"float32": 1e11, "float64": 4e10}, "bytes_per_s": 1e10, "launch_s": 4e-6}
ROOFLINE = {
    "own": {"cpu": PROBED},
    "all": {"cpu": {**PROBED, "flops_per_s": {"float32": 2e11, "float64": 8e10}}},
}


def record(
    counted: list[list[Any]], *, loop: Loop | None = None, roofline: Mapping[str, Any] = ROOFLINE, **more: Any
) -> RunRecord:
    """Return a run of steps with 20 ms forward and 30 ms backward, in which ``counted`` was counted."""
    loop = loop or Loop().plain(40)
    loop.tell("operators", nodes=100, complete=True, forward_ns=5_000, backward_ns=5_000)
    told = {
        "steps": 1,
        "complete": True,
        "floor_ns": 0,
        "rows": counted,
        "unique_bytes": [1000],
        "modules": [],
    }
    deep = {100: {"counted": told | more, "unit": more.pop("unit", 1)}}
    return replace(run(loop.process()), deep=deep, roofline=roofline)


def row(
    phase: str,
    name: str,
    ms: float,
    *,
    flops: int = 0,
    size: int = 0,
    calls: int = 1,
    module: str = "Net",
    dtype: str = "float32",
) -> list[Any]:
    """Return one counted row of one step."""
    return [phase, name, "8x8", dtype, "cpu", module, calls, [round(ms * 1e6)], flops, size, size, 64]


WORK = [
    row("forward", "addmm", 10, flops=10**9, size=10**6),
    row("backward", "mm", 20, flops=2 * 10**9, size=10**6),
    row("forward", "relu", 5, size=4 * 10**7),
    row("optimizer", "add_", 2, size=10**7, module=""),
]


def measured(found: RunRecord) -> Measurements:
    """Return the measurements of a run."""
    return analyse(found).measurements


def test_the_shares_are_those_of_the_step_and_what_is_left_is_overhead_up_to_a_bound() -> None:
    found = measured(record(WORK))
    model = found.number("compute.model_frac")
    assert model is not None
    assert found.number("device.maths_frac") == pytest.approx(model * 30 / 50)
    assert found.number("device.bandwidth_frac") == pytest.approx(model * 5 / 50)
    # 100 nodes of 10 us may cost four times that: 4 ms of the 15 that are left
    assert found.number("device.overhead_frac") == pytest.approx(model * 4 / 50)
    assert found.number("device.unplaced_frac") == pytest.approx(model * 11 / 50)
    assert found.number("device.placed") == 1


def test_flops_bytes_and_utilisation_count_the_whole_step() -> None:
    found = measured(record(WORK))
    assert found.number("device.flops_per_step") == 3 * 10**9
    assert found["device.bytes_per_step"].value == 52 * 10**6
    assert found["device.bytes_per_step"].interval == (1000, 52 * 10**6)
    step = found.number("step.mean_s")
    assert step is not None
    assert found.number("device.mfu_frac") == pytest.approx(3e9 / step / 2e11)
    assert found.number("device.threads_frac") == 0.5
    assert found.number("device.double_cost") == 2.5
    assert found.number("optimizer.floor_frac") == pytest.approx(0.001 / 0.005)
    assert found.number("device.maths_rate_frac") == pytest.approx(1.0)


def test_steps_between_the_counted_ones_replace_the_observed_ones() -> None:
    loop = Loop().plain(40).tell("deep", state="begin", number=1)
    start = loop.now
    loop.fetch().forward(0.04).backward(0.06).step()  # the machine is twice as slow by now
    found = measured(record(WORK, loop=loop, bare_ns=[[start, loop.now, 0]]))
    assert found.number("device.maths_frac") == pytest.approx(
        (found.number("compute.model_frac") or 0) * 30 / 100
    )


def test_time_in_which_the_thread_waited_for_a_core_is_nobodys() -> None:
    loop = Loop().plain(40).tell("deep", state="begin", number=1)
    start = loop.now
    loop.fetch().forward(0.04).backward(0.06).step()
    waited = (loop.now - start) // 2
    found = measured(record(WORK, loop=loop, bare_ns=[[start, loop.now, waited]]))
    assert found.number("device.maths_frac") == pytest.approx(
        (found.number("compute.model_frac") or 0) * 30 / 50
    )


def test_steps_of_the_window_are_in_no_timing() -> None:
    loop = Loop().plain(40).tell("deep", state="begin", number=1)
    loop.fetch().forward(5.0).backward(5.0).step(5.0)
    assert measured(record(WORK, loop=loop)).number("step.mean_s") == pytest.approx(0.065)


def test_float64_is_told_apart() -> None:
    found = measured(record([row("forward", "mm", 25, flops=10**9, size=10**6, dtype="float64")]))
    assert found.number("device.double_frac") == pytest.approx((found.number("compute.model_frac") or 0) / 2)


def test_without_a_window_nothing_is_placed_and_the_reason_is_given() -> None:
    found = measured(run(Loop().plain(40).process()))
    assert found.number("device.placed") == 0
    assert "device.maths_frac" not in found
    assert "no deep window" in found.why_missing("device.maths_frac")


def test_without_probes_flops_are_counted_but_nothing_is_placed() -> None:
    found = measured(record(WORK, roofline={}))
    assert found.number("device.placed") == 0
    assert found.number("device.flops_per_step") == 3 * 10**9


def test_host_times_of_a_gpu_place_nothing() -> None:
    on_gpu = [[*one[:4], "cuda", *one[5:]] for one in WORK]
    found = measured(record(on_gpu, roofline={"own": {"cuda": PROBED}, "all": {"cuda": PROBED}}))
    assert found.number("device.placed") == 0
    assert found.number("device.flops_per_step") == 3 * 10**9


def test_two_optimizers_in_a_step_make_one_block() -> None:
    loop = Loop()
    for _ in range(40):
        loop.fetch().forward().backward().step(optimizer=1).forward().backward().step(optimizer=2)
    found = record(WORK, loop=loop)
    deep = {100: {**found.deep[100], "unit": 2}}
    assert measured(replace(found, deep=deep)).number("device.flops_per_step") == pytest.approx(3e9, rel=0.05)


@given(
    st.lists(
        st.builds(
            row,
            st.sampled_from(["forward", "backward", "optimizer", "other", "input"]),
            st.sampled_from(["mm", "relu", "embedding", "sort"]),
            st.floats(0, 100),
            flops=st.integers(0, 10**11),
            size=st.integers(0, 10**9),
            calls=st.integers(1, 1000),
            dtype=st.sampled_from(["float32", "float64", "int64", ""]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_the_four_shares_are_those_of_forward_and_backward_together(counted: list[list[Any]]) -> None:
    found = measured(record(counted))
    shares = [found.number(f"device.{n}_frac") for n in ("maths", "bandwidth", "overhead", "unplaced")]
    assert None not in shares
    assert all(share is not None and share >= 0 for share in shares)
    assert sum(s or 0 for s in shares) == pytest.approx(found.number("compute.model_frac"))


def test_modules_show_where_flops_and_time_disagree() -> None:
    counted = [
        row("forward", "addmm", 5, flops=10**9, size=10**6, module="Net.linear"),
        row("backward", "mm", 5, flops=2 * 10**9, size=10**6, module="Net.linear"),
        row("forward", "native_layer_norm", 20, flops=0, size=10**8, module="Net.norm"),
        row("backward", "native_layer_norm_backward", 10, size=10**8, module="Net.norm"),
        row("backward", "sum", 10, size=10**8, module="not a module"),
    ]
    modules = [["Net", "Net", 0, 1], ["Net.linear", "Linear", 600, 1], ["Net.norm", "LayerNorm", 40, 1]]
    found = record(counted, modules=modules)
    timeline = build(find_trainers(found.processes)[0])
    assert timeline is not None
    table = rows(read_counted(found, timeline))
    assert [(r["module"], r["parameters"]) for r in table] == [("Net.norm", 40), ("Net.linear", 600)]
    norm, linear = table
    assert (norm["flops_share"], norm["time_share"]) == (0, 0.75)
    assert (linear["flops_share"], linear["time_share"]) == (1, 0.25)
    assert (linear["forward_s"], linear["backward_s"], linear["activations"]) == (0.005, 0.005, 64)
    assert [r["class"] for r in by_class(table)] == ["LayerNorm", "Linear"]
    counted_ = read_counted(found, timeline)
    assert counted_ is not None
    first = operator_rows(counted_)[0]
    assert (first["operator"], first["limit"], first["roof_frac"]) == ("native_layer_norm", "bandwidth", 0.5)


def test_what_memory_holds() -> None:
    found = record(WORK)
    memory = {
        "weights_bytes": 100,
        "gradients_bytes": 100,
        "optimizer_bytes": 200,
        "peak_bytes": 1000,
        "retries": 2,
    }
    deep = {100: {**found.deep[100], "memory": memory | {"total_bytes": 2000, "inactive_bytes": 500}}}
    values = measured(replace(found, deep=deep))
    assert values.number("memory.rest_bytes") == 600
    assert values.number("memory.retries") == 2
    assert values.number("memory.fragmented_frac") == 0.25


def ragged(*steps_ms: float) -> list[Any]:
    """Return a row of an operator whose shape only some of the counted steps have."""
    found = row("forward", "addmm", sum(steps_ms), flops=10**9, size=10**6)
    found[2], found[7] = f"8x{len(steps_ms)}", [round(ms * 1e6) for ms in steps_ms]
    return found


def test_operators_whose_shapes_differ_between_steps_keep_their_time() -> None:
    counted = [ragged(30, 0, 0), ragged(0, 24, 0), ragged(0, 0, 36)]
    for number, one in enumerate(counted):
        one[2] = f"8x{number}"
    found = measured(record(counted, steps=3))
    assert found.number("device.maths_frac") == pytest.approx(
        (found.number("compute.model_frac") or 0) * 30 / 50
    )


def between(loop: Loop, *steps_s: float) -> list[list[int]]:
    """Return the edges of steps between the counted ones, whose model takes so long, after adding them."""
    found = []
    for took in steps_s:
        start = loop.now
        loop.fetch().forward(took / 2).backward(took / 2).step()
        found.append([start, loop.now, 0])
    return found


@pytest.mark.parametrize(
    ("counted", "ms"),
    [
        (WORK, 4),  # the same calls in all steps: those between them differ by disturbances only
        ([ragged(30, 0, 0), ragged(0, 24, 0), ragged(0, 0, 36)], 1),  # other batches, other work
        (
            [ragged(30, 0, 0), ragged(0, 24, 0), ragged(0, 0, 36), ragged(300, 300, 300)],
            0,
        ),  # most is the same
    ],
)
def test_where_steps_make_other_calls_what_operators_cost_at_least_is_their_overhead(
    counted: list[list[Any]], ms: int
) -> None:
    loop = Loop().plain(40).tell("deep", state="begin", number=1)
    edges = between(loop, 0.03, 0.05, 0.07)
    counted = [[*one[:2], f"8x{number}", *one[3:]] for number, one in enumerate(counted)]
    found = measured(record(counted, loop=loop, bare_ns=edges, steps=len(counted[0][7])))
    # 100 nodes of 10 us cost 1 ms at least and 4 at most; beside the operators 15, 20 (+- 23) and less than 0 are left
    assert found.number("device.overhead_frac") == pytest.approx(
        (found.number("compute.model_frac") or 0) * ms / 50
    )
