"""Which calls of a deep window are made again, from windows built by hand."""

from __future__ import annotations

from typing import Any

import pytest
from trainbottleneck.collect.replay import plan

TENSOR = {"t": [8, 8], "s": [8, 1], "d": "float32"}


def row(name: str, ms: float, phase: str = "forward", module: str = "a", device: str = "cpu") -> list[Any]:
    """Return one counted row of one step."""
    return [phase, name, "8x8", "float32", device, module, 1, [round(ms * 1e6)], 0, 0, 0, 0]


def window(rows: list[list[Any]], **arguments: Any) -> dict[str, Any]:
    """Return what a window told; every row was called with one tensor unless ``arguments`` has another by number."""
    default = {
        str(n): {"op": r[1], "overload": "default", "args": [TENSOR], "kwargs": {}}
        for n, r in enumerate(rows)
    }
    told = default | {key.removeprefix("n"): value for key, value in arguments.items()}
    counted = {"steps": 1, "floor_ns": 0, "rows": rows, "arguments": told, "threads": 1}
    return {"counted": counted, "updates": [{"name": "SGD", "groups": []}]}


def test_equal_calls_are_one_and_the_dearest_come_first_until_they_cover_enough() -> None:
    rows = [row("mm", 5), row("mm", 5, module="b"), row("relu", 20), row("add", 69), row("mul", 1)]
    found = plan(window(rows), {})
    assert [(one["op"], one["calls"]) for one in found["calls"]] == [("add", 1), ("relu", 1), ("mm", 2)]
    assert found["calls"][2]["seconds"] == pytest.approx(0.01)
    assert found["calls"][2]["each_s"] == pytest.approx(0.005)
    assert sum(r[3] for r in found["totals"]) == pytest.approx(0.1)


def test_calls_of_a_shape_that_only_some_steps_have_keep_their_time() -> None:
    rows = [row("mm", 6), row("mm", 3), row("add", 9)]
    for one, times in zip(rows, ([6e6, 0, 0], [0, 3e6, 0], [3e6, 3e6, 3e6]), strict=True):
        one[6:8] = [sum(map(bool, times)), times]
    calls = [
        {"op": "mm", "overload": "default", "args": [{**TENSOR, "t": [n, 8]}], "kwargs": {}} for n in (8, 16)
    ]
    told = window(rows, n0=calls[0], n1=calls[1])
    told["counted"]["steps"] = 3
    found = {one["seconds"]: (one["op"], one["each_s"]) for one in plan(told, {})["calls"]}
    assert found == {0.003: ("add", 0.003), 0.002: ("mm", 0.006), 0.001: ("mm", 0.003)}


def test_loading_data_and_updates_are_not_called_again_and_updates_count_where_they_matter() -> None:
    rows = [row("mm", 10), row("stack", 50, phase="input"), row("add_", 0.1, phase="optimizer")]
    found = plan(window(rows), {})
    assert [one["op"] for one in found["calls"]] == ["mm"]
    assert found["updates"] == []
    rows[2] = row("add_", 1, phase="optimizer")
    assert [one["name"] for one in plan(window(rows), {})["updates"]] == ["SGD"]


def test_what_reads_by_index_or_can_not_be_told_is_left_out() -> None:
    index = {
        "op": "embedding",
        "overload": "default",
        "args": [TENSOR, {**TENSOR, "d": "int64"}],
        "kwargs": {},
    }
    found = plan(window([row("embedding", 10), row("sort", 10), row("mm", 5)], n0=index, n1=None), {})
    assert [one["op"] for one in found["calls"]] == ["mm"]
    assert sum(r[3] for r in found["totals"]) == pytest.approx(0.025)


def test_on_cuda_the_trace_tells_what_an_operator_takes() -> None:
    rows = [
        row("mm", 1, device="cuda"),
        row("mm", 1, phase="backward", device="cuda"),
        row("add", 1, device="cuda"),
    ]
    traced = {"steps": 2, "rows": [["mm", "8x8", 4, 0, 0, 40_000.0], ["add", "8x8", 2, 0, 0, 2_000.0]]}
    found = plan(window(rows), traced)
    assert (found["device"], found["calls"][0]["align"]) == ("cuda", 8)
    assert [(one["op"], one["phase"], one["seconds"]) for one in found["calls"]] == [
        ("mm", "forward", pytest.approx(0.01)),
        ("mm", "backward", pytest.approx(0.01)),
    ]


def test_another_device_is_refused() -> None:
    with pytest.raises(ValueError, match="another device"):
        plan(window([row("mm", 1, device="mps")]), {})
