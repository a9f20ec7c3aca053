"""Events become steps and phases: what hides behind the device's work costs nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.analyze.device_time import STATE, attribute, temporal
from trainbottleneck.analyze.evaluation import find_evaluation
from trainbottleneck.analyze.phases import COLUMN, segment
from trainbottleneck.analyze.profiled_values import analyse_trace
from trainbottleneck.analyze.timeline import Timeline
from trainbottleneck.analyze.values import ratio_interval
from trainbottleneck.ingest import load_traces
from trainbottleneck.model.device import DeviceWork, Work
from trainbottleneck.model.measurement import Measurements
from trainbottleneck.model.span import Flag, Kind, Spans

from .traces import AUTOGRAD, Builder, training

VOCABULARIES = pytest.mark.parametrize(
    "options", [{}, {"old": True}, {"hip": True}], ids=["now", "2021", "rocm"]
)


def analysed(trace: Builder, folder: Path) -> tuple[Timeline, Measurements]:
    """Return steps and measurements of one trace."""
    found = analyse_trace(trace.record(folder))
    assert found.result == "OK"
    return found.timelines[0], found.measurements


def near(measurements: Measurements, **shares: float) -> None:
    """Check measurements named with two underscores for the dot."""
    for name, value in shares.items():
        key = name.replace("__", ".", 1)
        assert measurements[key].value == pytest.approx(value, abs=1e-6), key


@VOCABULARIES
def test_a_wait_for_data_that_nothing_hides_is_data_wait(tmp_path: Path, options: dict[str, bool]) -> None:
    timeline, found = analysed(training(wait=400, **options), tmp_path)
    assert len(timeline.totals) == 5 and timeline.steady.excluded == {"first profiled step": 1}
    # Of 1000 us the loop waits from 5 to 400; the device is done with the step before by then.
    near(found, step__data_wait_frac=0.395, device__idle_input_frac=0.395, input__workers=0)
    near(found, device__compute_frac=0.4, device__h2d_exposed_frac=0.02, step__time_s=1e-3)
    near(found, step__backward_frac=0.15, step__optimizer_frac=0.1, device__kernels_per_step=7)
    assert found["input.batch_s"].value == pytest.approx(395e-6)
    assert found.labels["optimizer.name"] == "SGD"


def test_a_wait_for_data_behind_the_device_is_no_bottleneck(tmp_path: Path) -> None:
    trace = training(wait=400)
    for number in range(5):  # a kernel launched by the optimizer, still running while the loop waits for data
        trace.kernel(number * 1000 + 900, 500, number * 1000 + 620, name="long")
    _, found = analysed(trace, tmp_path)
    near(found, device__idle_input_frac=0.0, step__data_wait_frac=0.0)
    near(found, step__optimizer_frac=0.6)


def test_workers_are_told_but_not_how_many(tmp_path: Path) -> None:
    _, found = analysed(training(workers=True), tmp_path)
    assert "input.workers" not in found and "how many" in found.why_missing("input.workers")


def test_what_a_trace_cannot_show_is_missing_and_not_zero(tmp_path: Path) -> None:
    _, found = analysed(training(), tmp_path)
    for key in (
        "step.checkpoint_frac",
        "step.gc_frac",
        "host.usable_cores",
        "checkpoint.count",
        "compile.used",
    ):
        assert key not in found and found.why_missing(key) == "not in a profiler trace"


def test_a_trace_without_device_work_says_nothing_of_the_device(tmp_path: Path) -> None:
    trace = Builder()
    for number in range(4):
        at = number * 1000.0
        trace.note(f"ProfilerStep#{number}", at, 1000)
        trace.note("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", at, 200)
        trace.op("aten::linear", at + 200, 300)
        trace.op("aten::ones_like", at + 500, 10)
        trace.op("autograd::engine::evaluate_function: AddmmBackward0", at + 510, 300)
        trace.note("Optimizer.step#Adam.step", at + 850, 100)
    _, found = analysed(trace, tmp_path)
    near(found, step__data_wait_frac=0.2, step__forward_frac=0.31, step__backward_frac=0.3)
    near(found, step__optimizer_frac=0.1, step__other_frac=0.09)
    assert "device.busy_frac" not in found and "step.sync_frac" not in found
    assert "device.is_cpu" not in found  # the profiler saw a GPU: its activity was just not profiled


def test_without_marks_optimizer_steps_end_the_steps(tmp_path: Path) -> None:
    timeline, _ = analysed(training(marks=False), tmp_path)
    assert len(timeline.totals) == 5 and timeline.boundaries.definition == "one optimizer step"


def test_without_optimizer_backward_passes_end_the_steps(tmp_path: Path) -> None:
    trace = training(marks=False)
    trace.events = [event for event in trace.events if "Optimizer" not in event["name"]]
    timeline, _ = analysed(trace, tmp_path)
    assert len(timeline.totals) == 5 and "backward" in timeline.boundaries.definition


def test_a_trace_without_training_has_a_name_for_it(tmp_path: Path) -> None:
    trace = Builder()
    trace.op("aten::linear", 0, 100)
    trace.kernel(50, 100, 10)
    assert analyse_trace(trace.record(tmp_path)).result == "NO_TRAINING"
    assert analyse_trace(training(steps=1).record(tmp_path)).result == "SHORT_TRACE"


def test_the_empty_mark_that_stop_leaves_is_no_step(tmp_path: Path) -> None:
    trace = training(steps=4)
    trace.note("ProfilerStep#99", 4001, 20)
    timeline, _ = analysed(trace, tmp_path)
    assert len(timeline.totals) == 4


def test_steps_far_apart_are_not_joined(tmp_path: Path) -> None:
    trace = training(steps=3)
    for event in training(steps=3, zero=1_000_050_000.0).events:
        args = {**event["args"], "correlation": event["args"].get("correlation", -900) + 900}
        trace.events.append({**event, "args": args})
    timeline, found = analysed(trace, tmp_path)
    assert timeline.steady.excluded == {"first profiled step": 1, "not between two marks": 1}
    near(found, step__time_s=1e-3, step__data_wait_frac=0.395)


def test_a_step_whose_device_work_is_missing_does_not_count(tmp_path: Path) -> None:
    trace = training(steps=5)
    lost = [e for e in trace.events if e["cat"] == "kernel" and 1_000_003_000 <= e["ts"] < 1_000_004_000]
    trace.events = [event for event in trace.events if event not in lost]
    timeline, found = analysed(trace, tmp_path)
    assert timeline.steady.excluded["device work is missing"] == 1
    near(found, device__compute_frac=0.4)
    assert "launches" in (timeline.trainer.process.damage or "")


def _spans(*rows: tuple[Kind, int, int]) -> Spans:
    """Return spans of one thread, times in us."""
    count = len(rows)
    zeros = np.zeros(count, np.int64)
    return Spans(
        start_ns=np.array([row[1] * 1000 for row in rows], np.int64),
        end_ns=np.array([row[2] * 1000 for row in rows], np.int64),
        kind=np.array([row[0] for row in rows], np.uint8),
        flags=np.full(count, Flag.TRAINING | Flag.GRAD, np.uint8),
        thread=zeros.astype(np.uint16),
        name=zeros.astype(np.uint32),
        a=zeros,
        b=zeros,
        names=("",),
    )


def _work(*rows: tuple[Work, int, int, int]) -> DeviceWork:
    """Return device work of (kind, start, end, launch) in us; launch -1 for unknown."""
    rows = tuple(sorted(rows, key=lambda row: row[1]))
    count = len(rows)
    zeros = np.zeros(count, np.int64)
    launch = np.array([row[3] * 1000 if row[3] >= 0 else -1 for row in rows], np.int64)
    return DeviceWork(
        start_ns=np.array([row[1] * 1000 for row in rows], np.int64),
        end_ns=np.array([row[2] * 1000 for row in rows], np.int64),
        kind=np.array([row[0] for row in rows], np.uint8),
        stream=zeros,
        launch_ns=launch,
        launched_ns=launch,
        bytes=zeros,
        pageable=zeros.astype(np.int8),
        name=zeros.astype(np.uint32),
        names=("k",),
        lost_ns=np.zeros(0, np.int64),
    )


def _states(work: DeviceWork, spans: Spans, last: int) -> tuple[dict[str, int], dict[str, int]]:
    """Return us per state and per phase from 0 to ``last``."""
    host = segment(spans, find_evaluation(spans, np.array([last * 1000])), 0, last * 1000)
    found = attribute(work, spans, host)
    bounds = np.array([0, last * 1000])
    states = found.totals(bounds)[0] // 1000
    wide = np.bincount(found.column, np.diff(found.edges_ns), minlength=len(COLUMN)) / 1000
    return (
        {name: int(states[number]) for name, number in STATE.items() if states[number]},
        {name: int(wide[number]) for name, number in COLUMN.items() if wide[number]},
    )


def test_a_bubble_after_a_sync_is_the_syncs() -> None:
    spans = _spans((Kind.SYNC, 50, 110), (Kind.FORWARD, 110, 200))
    states, phases = _states(_work((Work.COMPUTE, 0, 100, 0), (Work.COMPUTE, 140, 200, 138)), spans, 200)
    assert states == {"compute": 160, "idle_sync": 40}
    assert phases["sync"] == 40


def test_a_sync_while_the_device_works_costs_nothing() -> None:
    spans = _spans((Kind.FORWARD, 0, 20), (Kind.SYNC, 20, 90), (Kind.FORWARD, 90, 200))
    states, phases = _states(_work((Work.COMPUTE, 0, 100, 0), (Work.COMPUTE, 100, 200, 95)), spans, 200)
    assert states == {"compute": 200} and "sync" not in phases


def test_a_gap_before_work_that_was_queued_is_not_the_hosts() -> None:
    spans = _spans(
        (Kind.FORWARD, 0, 30),
    )
    states, phases = _states(_work((Work.COMPUTE, 0, 100, 0), (Work.COMPUTE, 110, 200, 20)), spans, 200)
    assert states == {"compute": 190, "idle_queue": 10} and phases == {"forward": 200}
    states, phases = _states(_work((Work.COMPUTE, 0, 100, 0), (Work.COMPUTE, 150, 200, 20)), spans, 200)
    assert states == {"compute": 150, "idle_queue": 50} and phases == {"forward": 150, "other": 50}


def test_communication_and_copies_count_where_nothing_computes() -> None:
    spans = _spans(
        (Kind.BACKWARD, 0, 300),
    )
    work = _work(
        (Work.COMPUTE, 0, 100, 0),
        (Work.COMMUNICATION, 50, 200, 40),
        (Work.COPY_IN, 150, 250, 60),
        (Work.COPY_OUT, 250, 300, 70),
    )
    states, phases = _states(work, spans, 300)
    assert states == {"compute": 100, "communication": 100, "copy_in": 50, "copy_out": 50}
    assert phases == {"backward": 100, "communication": 100, "h2d": 50, "sync": 50}


def test_a_kernel_belongs_to_the_phase_that_launched_it() -> None:
    spans = _spans((Kind.FORWARD, 0, 20), (Kind.BACKWARD, 20, 40), (Kind.OPTIMIZER, 40, 60))
    work = _work((Work.COMPUTE, 10, 100, 5), (Work.COMPUTE, 100, 150, 30), (Work.COMPUTE, 150, 160, 50))
    _, phases = _states(work, spans, 160)
    assert phases == {"forward": 100, "backward": 50, "optimizer": 10}


TIMES = st.integers(0, 400)


@settings(max_examples=120)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(Work)), TIMES, st.integers(0, 60), st.integers(-1, 400)), min_size=1
    ),
    st.lists(
        st.tuples(st.sampled_from([Kind.NEXT, Kind.FORWARD, Kind.SYNC, Kind.BACKWARD]), st.integers(1, 40))
    ),
)
def test_every_nanosecond_has_one_state_and_one_phase(
    rows: list[tuple[Work, int, int, int]], host: list[tuple[Kind, int]]
) -> None:
    at, spans = 0, []
    for kind, length in host:
        spans.append((kind, at, at + length))
        at += length + 3
    last = max(at, 500)
    work = _work(*[(kind, start, start + took, launch) for kind, start, took, launch in rows])
    found = _spans(*spans) if spans else _spans((Kind.FORWARD, 0, 1))
    states, phases = _states(work, found, last)
    assert sum(states.values()) == sum(phases.values()) == last
    busy = np.zeros(last, bool)
    for _, start, took, _ in rows:
        busy[start : start + took] = True
    idle = sum(value for name, value in states.items() if name.startswith("idle"))
    assert idle == last - int(busy.sum())
    whole = temporal(work)
    assert whole["compute"] + whole["other"] + whole["idle"] == whole["span"]
    assert 0 <= whole["overlap"] <= min(whole["compute"], whole["communication"])


def test_ranks_come_from_the_trace_or_its_name_and_stand_once(tmp_path: Path) -> None:
    from trainbottleneck.errors import TraceError

    paths = [training(steps=2).save(tmp_path / f"job-rank{number}.json") for number in (3, 1)]
    assert [process.rank for process in load_traces(paths).processes] == [1, 3]
    with pytest.raises(TraceError, match="of rank 3"):
        load_traces([paths[0], paths[0]])
    plain = [training(steps=2).save(tmp_path / f"{letter}.json") for letter in "ab"]
    assert [process.rank for process in load_traces(plain).processes] == [0, 1]
    with pytest.raises(TraceError, match="tells no rank"):
        load_traces([*paths, plain[0]])


def test_of_several_ranks_the_one_that_communicates_least_is_described(tmp_path: Path) -> None:
    paths = []
    for rank, exchange in enumerate((200, 50)):
        trace = training(steps=4)
        trace.about["distributedInfo"] = {"backend": "nccl", "rank": rank, "world_size": 2}
        for number in range(4):
            name = "ncclDevKernel_AllReduce_Sum_f32_RING_LL"
            trace.kernel(number * 1000 + 200, exchange, number * 1000 + 150, name, thread=AUTOGRAD, stream=20)
        paths.append(trace.save(tmp_path / f"{rank}.json"))
    found = analyse_trace(load_traces(paths))
    assert found.timelines[0].trainer.process.rank == 1
    near(found.measurements, device__comm_exposed_frac=0.05, step__communication_frac=0.05, ddp__world=2)
    near(
        found.measurements, comm__sized_frac=1
    )  # nobody measured the link: fewer bytes are priced by the phase


def test_gloo_counts_where_no_operator_computes(tmp_path: Path) -> None:
    trace = Builder()
    for number in range(4):
        at = number * 1000.0
        trace.note(f"ProfilerStep#{number}", at, 1000)
        trace.op("aten::linear", at, 300)
        trace.op("aten::ones_like", at + 300, 5)
        trace.op("autograd::engine::evaluate_function: AddmmBackward0", at + 310, 500)
        trace.op("aten::mm", at + 320, 100)
        trace.add("note", "gloo:all_reduce", at + 400, 400, thread=300)
        trace.note("Optimizer.step#SGD.step", at + 850, 100)
    _, found = analysed(trace, tmp_path)
    near(found, step__communication_frac=0.38, step__backward_frac=0.12, device__comm_exposed_frac=0.38)


def test_a_few_steps_give_an_interval_from_each_of_them() -> None:
    parts, wholes = np.array([1.0, 1.1, 0.9, 1.0]), np.full(4, 10.0)
    interval = ratio_interval(parts, wholes)
    assert interval is not None  # t of three degrees of freedom is 3.18: 0.1 give or take 0.013
    assert interval == pytest.approx((0.087, 0.113), abs=1e-3)
