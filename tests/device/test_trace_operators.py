"""Operators in an exported trace, from one written by hand and from torch's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainbottleneck.collect.trace_operators import summary


def event(name: str, ts: float, dur: float, **more: Any) -> dict[str, Any]:
    """Return one complete event."""
    return {"ph": "X", "cat": "cpu_op", "name": name, "ts": ts, "dur": dur, "tid": 1, **more}


MARKS = [event("bottleneck#step", at, 0, cat="user_annotation") for at in (100, 200, 300)]
EVENTS = [
    event("aten::warm", 50, 10),
    event("aten::linear", 110, 50, args={"Input Dims": [[2, 3], [4, 3], []], "External id": 1}),
    event("aten::addmm", 120, 30, args={"Input Dims": [[4], [2, 3], [3, 4]], "External id": 2}),
    event("aten::addmm", 210, 20, args={"Input Dims": [[4], [2, 3], [3, 4]], "External id": 3}),
    event("aten::late", 310, 10),
    event("gemm", 400, 8, cat="kernel", tid="stream 7", args={"External id": 2}),
]


def test_time_of_an_operator_without_and_with_what_it_calls() -> None:
    found = summary({"traceEvents": MARKS + EVENTS})
    assert (found["steps"], found["wall_us"]) == (2, 200)
    rows = {row[0]: row[1:] for row in found["rows"]}
    assert rows == {
        "linear": ["2x3 4x3", 1, 50, 20, 8],
        "addmm": ["4 2x3 3x4", 2, 50, 50, 8],
    }


@pytest.mark.parametrize(
    "bad", [None, [], {}, {"traceEvents": 3}, {"traceEvents": MARKS[:1]}, {"traceEvents": [1]}]
)
def test_what_is_no_trace_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"not a trace|fewer than two marks"):
        summary(bad)


@given(
    st.lists(
        st.tuples(st.floats(100, 299), st.floats(0, 100), st.sampled_from("abc")),
        max_size=15,
        unique_by=lambda e: e[0],
    )
)
def test_own_times_of_nested_calls_never_exceed_the_time_that_passed(
    spans: list[tuple[float, float, str]],
) -> None:
    events: list[dict[str, Any]] = []
    ends = [400.0]
    for start, length, name in sorted(spans):  # cut each to lie within what is open: calls of a thread nest
        while ends[-1] <= start:
            ends.pop()
        ends.append(min(start + length, ends[-1]))
        events.append(event(name, start, ends[-1] - start))
    found = summary({"traceEvents": MARKS + events})
    assert sum(row[4] for row in found["rows"]) <= 300 + 1e-6
    assert all(row[4] <= row[3] + 1e-6 or row[3] == 0 for row in found["rows"])


def test_a_trace_of_this_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from trainbottleneck.agent.tracing import Tracing

    path = tmp_path / "trace.json"
    tracing, x = Tracing(torch, str(path)), torch.randn(8, 8)
    tracing.start(lambda reason: None)
    for _ in range(3):
        tracing.mark()
        torch.mm(x, x)
    tracing.mark()
    assert tracing.stop()
    found = summary(json.loads(path.read_text()))
    (row,) = [row for row in found["rows"] if row[0] == "mm"]
    assert (found["steps"], row[1], row[2]) == (3, "8x8 8x8", 3)
    assert not torch._C._autograd._profiler_enabled()
