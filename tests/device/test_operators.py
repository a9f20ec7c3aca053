"""Operators read from what the agent wrote, and placed under roofs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainbottleneck.analyze.operators import (
    Operator,
    Roofs,
    limit_of,
    raised,
    read_operators,
    read_roofs,
    roof_times,
    seconds_by_limit,
)

ROOFS = Roofs(flops_per_s={"float32": 1e11, "float64": 5e10, "tf32": 4e11}, bytes_per_s=1e10, launch_s=4e-6)


def operator(
    seconds: float, *, flops: float = 0.0, size: float = 0.0, calls: float = 1.0, **more: Any
) -> Operator:
    """Return an operator that took ``seconds``."""
    given_: dict[str, Any] = {
        "phase": "forward",
        "name": "mm",
        "dims": "",
        "dtype": "float32",
        "device": "cpu",
    }
    given_ |= {"module": "", "unique_bytes": size, "out": 0.0} | more
    return Operator(calls=calls, seconds=seconds, flops=flops, bytes=size, **given_)


@pytest.mark.parametrize(
    ("one", "limit"),
    [
        (operator(0.02, flops=1e9, size=1e7), "maths"),
        (operator(0.02, flops=1e7, size=1e8), "bandwidth"),
        (operator(0.000_003, size=1e3), "overhead"),
        (operator(0.000_03, size=1e3), "overhead"),  # far from both roofs, but no ten launches long
        (operator(0.05, size=1e3), "unplaced"),  # a sort, a loop in C++
        (operator(0.05, size=1e3, name="embedding_dense_backward"), "bandwidth"),  # random access
        (operator(0.11, flops=1e9, size=1e7), "unplaced"),  # a tenth of the roof is the edge: 0.1 s
        (operator(0.099, flops=1e9, size=1e7), "maths"),
    ],
)
def test_an_operator_is_placed_by_the_roof_that_lies_highest_over_it(one: Operator, limit: str) -> None:
    assert limit_of(one, ROOFS) == limit


def test_tf32_counts_only_for_float32_on_a_gpu() -> None:
    on_gpu, on_cpu = operator(1, flops=4e11, device="cuda"), operator(1, flops=4e11)
    assert roof_times(on_gpu, ROOFS, tf32=True)[0] == 1
    assert roof_times(on_cpu, ROOFS, tf32=True)[0] == 4
    assert roof_times(on_gpu, ROOFS, tf32=False)[0] == 4
    assert roof_times(operator(1, flops=5e10, dtype="float64"), ROOFS)[0] == 1


positive = st.floats(0, 1e3, allow_nan=False)
operators = st.builds(
    operator,
    positive,
    flops=st.floats(0, 1e15),
    size=st.floats(0, 1e13),
    calls=st.floats(1, 1e5),
    name=st.sampled_from(["mm", "add", "embedding"]),
    dtype=st.sampled_from(["float32", "float64", "", "int64"]),
)


@given(st.lists(operators, max_size=20))
def test_the_seconds_by_limit_are_all_the_seconds(found: list[Operator]) -> None:
    assert math.isclose(
        sum(seconds_by_limit(found, ROOFS).values()), sum(o.seconds for o in found), rel_tol=1e-9
    )


@given(operators, st.floats(1, 100))
def test_a_faster_memory_never_makes_an_operator_limited_by_it(one: Operator, factor: float) -> None:
    faster = Roofs(
        flops_per_s=ROOFS.flops_per_s, bytes_per_s=ROOFS.bytes_per_s * factor, launch_s=ROOFS.launch_s
    )
    if limit_of(one, faster) == "bandwidth":
        assert limit_of(one, ROOFS) == "bandwidth"


def row(**changes: Any) -> list[Any]:
    """Return a row as the agent writes it, of two steps."""
    given_ = {
        "phase": "forward",
        "name": "mm",
        "dims": "2x3 3x4",
        "dtype": "float32",
        "device": "cpu",
        "module": "N",
    }
    numbers = {"calls": 4, "ns": [3_000_000, 1_000_000], "flops": 96, "bytes": 400, "unique": 200, "out": 16}
    return list((given_ | numbers | changes).values())


def test_a_row_becomes_one_operator_per_step() -> None:
    (one,) = read_operators({"steps": 2, "floor_ns": 10_000, "rows": [row()]})
    assert (one.calls, one.flops, one.bytes, one.unique_bytes, one.out) == (2, 48, 200, 100, 8)
    assert one.seconds == pytest.approx(0.002 - 2 * 10e-6)  # the median of two steps, less two floors


def test_no_operator_takes_less_than_nothing() -> None:
    (one,) = read_operators({"steps": 2, "floor_ns": 10**9, "rows": [row()]})
    assert one.seconds == 0


@pytest.mark.parametrize(
    "bad",
    [
        row()[:-1],
        row(calls=-1),
        row(calls=0),
        row(ns=[]),
        row(ns=["x"]),
        row(ns=3),
        row(name=7),
        row(flops=True),
        row(bytes=1e40),
        {},
        3,
    ],
)
def test_a_damaged_row_is_left_out_and_the_others_stay(bad: Any) -> None:
    assert len(read_operators({"steps": 2, "rows": [bad, row()]})) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=3),
        lambda x: st.lists(x, max_size=12),
        max_leaves=30,
    )
)
def test_whatever_the_file_holds_reading_it_does_not_fail(junk: Any) -> None:
    read_operators({"steps": 2, "floor_ns": junk, "rows": junk})
    read_operators({"steps": junk, "rows": [row()]})
    read_roofs({"cpu": junk}, "cpu")
    read_roofs(junk, "cpu")


def test_roofs_without_a_rate_or_a_bandwidth_are_none() -> None:
    whole = {"flops_per_s": {"float32": 1e11}, "bytes_per_s": 1e10, "launch_s": 4e-6}
    assert read_roofs({"cpu": whole}, "cpu") == Roofs(
        flops_per_s={"float32": 1e11}, bytes_per_s=1e10, launch_s=4e-6
    )
    for key in whole:
        assert read_roofs({"cpu": {**whole, key: 0}}, "cpu") is None
    assert read_roofs({"cpu": whole}, "cuda") is None


def test_no_roof_of_arithmetic_lies_below_what_an_operator_reached() -> None:
    fast, short = operator(0.01, flops=3e9, calls=2), operator(1e-6, flops=1e9)
    gpu = operator(0.01, flops=9e9, device="cuda")
    found = raised(ROOFS, [fast, short, gpu, operator(0.02, flops=1e9, dtype="float64")])
    assert found is not None
    assert found.flops_per_s == {**ROOFS.flops_per_s, "float32": 3e11}
    assert found.bytes_per_s == ROOFS.bytes_per_s and raised(None, [fast]) is None
