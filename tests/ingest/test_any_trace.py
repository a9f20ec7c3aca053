"""Whatever a trace holds, there is a report on it, and its parts sum to the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck import rulebook
from trainbottleneck.analyze.profiled_values import analyse_trace
from trainbottleneck.diagnosis import diagnose
from trainbottleneck.errors import TraceError
from trainbottleneck.ingest import load_traces
from trainbottleneck.render import html_report, json_report, terminal_report

from .traces import AUTOGRAD, MAIN, Builder

NAMES = (
    "ProfilerStep#1",
    "ProfilerStep#2",
    "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__",
    "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__",
    "Optimizer.step#SGD.step",
    "Optimizer.zero_grad#SGD.zero_grad",
    "## forward ##",
    "backward",
    "aten::linear",
    "aten::to",
    "aten::ones_like",
    "autograd::engine::evaluate_function: AddmmBackward0",
    "NllLossBackward",
    "gloo:all_reduce",
    "cudaLaunchKernel",
    "cudaMemcpyAsync",
    "cudaStreamSynchronize",
    "Memcpy HtoD (Pageable -> Device)",
    "Memcpy DtoH (Device -> Pageable)",
    "Memset (Device)",
    "ncclDevKernel_AllReduce_Sum_f32_RING_LL",
    "gemm",
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["op", "note", "runtime", "kernel", "copy", "fill"]),
        st.sampled_from(NAMES),
        st.integers(0, 2000),
        st.integers(0, 600),
        st.sampled_from([MAIN, AUTOGRAD]),
        st.integers(0, 12),
    ),
    min_size=1,
    max_size=60,
)
BOOK = rulebook.load([rulebook.shipped()])


@settings(max_examples=120)
@given(EVENTS, st.booleans(), st.booleans())
def test_any_events_give_a_report_whose_parts_sum_up(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[tuple[str, str, int, int, int, int]],
    old: bool,
    marks: bool,
) -> None:
    trace = Builder(old=old)
    trace.op("aten::add", 0, 5)
    for word, name, start, took, thread, number in events:
        trace.add(word, name, start, took, thread, correlation=number, stream=number % 3, bytes=8)
    if marks:
        for number in range(4):
            trace.note(f"ProfilerStep#{number + 7}", 500 * number, 500)
            trace.note("Optimizer.step#Adam.step", 500 * number + 400, 20)
    path = trace.save(Path(tmp_path_factory.mktemp("any")) / "t.json")
    record = load_traces([path])
    report = diagnose(record, BOOK)
    for render in (html_report.render, json_report.render, terminal_report.render):
        assert render(report)
    assert not [finding for finding in report.findings if finding.state == "error"]
    found = analyse_trace(record)
    for timeline in found.timelines:
        assert timeline.totals.sum(axis=1).tolist() == np.diff(timeline.bounds_ns).tolist()
        if timeline.device is not None:
            states = timeline.device.totals(timeline.bounds_ns)
            assert states.sum(axis=1).tolist() == np.diff(timeline.bounds_ns).tolist()
    for key, one in found.measurements.items():
        if one.unit == "frac" and key not in ("step.cv_frac", "step.drift_frac"):
            assert -1e-9 <= one.value <= 1 + 1e-9, key


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["ph", "cat", "name", "ts", "dur", "args", "pid"]), x)
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_trace_or_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    import json

    path = Path(tmp_path_factory.mktemp("json")) / "t.json"
    path.write_text(
        json.dumps({"traceEvents": [value, {"ph": "X", "cat": "cpu_op", "name": "a", "ts": 1, "dur": 1}]})
    )
    assert len(load_traces([path]).processes) == 1
    path.write_text(json.dumps(value))
    try:
        load_traces([path])
    except TraceError as error:
        assert "\n" not in str(error)
