"""Nothing is outside the account: whatever the spans, phases sum to the step and lines to the run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.analyze import account
from trainbottleneck.analyze.measure import analyse
from trainbottleneck.analyze.phases import COLUMNS
from trainbottleneck.analyze.timeline import Timeline, build
from trainbottleneck.analyze.trainer import find_trainers
from trainbottleneck.model.record import Outcome
from trainbottleneck.model.span import Kind

from .records import START_NS, Loop, Row, process, run

KINDS = [int(kind) for kind in Kind]
ROW = st.tuples(
    st.integers(0, 2000),  # start
    st.integers(0, 400),  # length, zero included
    st.sampled_from(KINDS),
    st.integers(0, 255),
    st.integers(0, 1),  # thread
    st.just(0),
    st.integers(-1, 3),
    st.integers(0, 3),  # loader or optimizer
)


def timeline_of(rows: list[Row]) -> Timeline | None:
    """Return the timeline of the first trainer among ``rows``, None where nothing trains."""
    trainers = find_trainers([process(rows)])
    return build(trainers[0]) if trainers else None


def check_account(timeline: Timeline, outcome: Outcome) -> None:
    """Check that phases sum to steps, steps to the whole, and lines to the wall time, to the nanosecond."""
    assert np.all(timeline.totals >= 0)
    assert timeline.totals.shape[1] == len(COLUMNS)
    assert timeline.totals.sum(axis=1).tolist() == np.diff(timeline.bounds_ns).tolist()
    assert np.all(np.diff(timeline.segments.edges_ns) > 0)
    first, last = int(timeline.bounds_ns[0]), int(timeline.bounds_ns[-1])
    wall = max(outcome.end_ns, last) - min(outcome.start_ns, first)
    lines = account.lines(timeline, outcome)
    assert sum(round(line.seconds * 1e9) for line in lines) == wall
    assert all(line.seconds > 0 for line in lines)
    if wall:
        assert sum(line.share for line in lines) == pytest.approx(1.0)


@given(st.lists(ROW, max_size=60), st.integers(0, 2500), st.integers(0, 3000))
@settings(max_examples=300)
def test_any_spans_sum_to_the_nanosecond(raw: list[Row], start: int, length: int) -> None:
    rows = [(s, s + n, k, f, t, name, a, b) for s, n, k, f, t, name, a, b in raw]
    timeline = timeline_of(rows)
    if timeline is not None:
        outcome = Outcome(
            exit_code=0, signal=None, stopped_by_us=False, start_ns=start, end_ns=start + length
        )
        check_account(timeline, outcome)


@given(st.lists(ROW, min_size=1, max_size=60))
@settings(max_examples=100)
def test_any_spans_give_measurements_and_never_an_error(raw: list[Row]) -> None:
    rows = [(s, s + n, k, f, t, name, a, b) for s, n, k, f, t, name, a, b in raw]
    found = analyse(run(process(rows)))
    assert found.result in ("OK", "NO_STEPS", "TOO_FEW_STEPS")
    fractions = [
        m.value for name, m in found.measurements.items() if name.startswith("step.") and m.unit == "frac"
    ]
    shares = [found.measurements.number(f"step.{name}_frac") for name in COLUMNS[:12]]
    if None not in shares:
        assert sum(share for share in shares if share is not None) == pytest.approx(1.0)
    assert all(np.isfinite(fractions))


@st.composite
def loops(draw: st.DrawFn) -> Loop:
    """Return a loop of nested spans as real threads make them, bent by a clock of coarse grain or cut short."""
    loop = Loop()

    def some(depth: int) -> None:
        for _ in range(draw(st.integers(0, 4))):
            length = draw(st.integers(0, 30)) / 1e9
            kind = Kind(draw(st.sampled_from(KINDS)))
            keywords = {"flags": draw(st.integers(0, 15)), "b": draw(st.integers(0, 2))}
            if depth < 4 and draw(st.booleans()):
                with loop.inside(kind, **keywords):
                    some(depth + 1)
            else:
                loop.span(kind, length, **keywords)
            loop.other(draw(st.integers(0, 5)) / 1e9)

    for _ in range(draw(st.integers(1, 8))):
        some(0)
    loop.rows = loop.rows[: len(loop.rows) - draw(st.integers(0, 3))]
    bend = draw(st.integers(0, 3))
    loop.rows = [(s - bend * (s % 2), e + bend * (e % 3), *more) for s, e, *more in loop.rows]  # type: ignore[misc]
    return loop


@given(loops(), st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_nested_and_bent_spans_sum_whatever_order_they_were_written_in(loop: Loop, random: object) -> None:
    timeline = timeline_of(loop.rows)
    shuffled = list(loop.rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = timeline_of(shuffled)
    outcome = Outcome(exit_code=0, signal=None, stopped_by_us=False, start_ns=0, end_ns=loop.now + 10)
    for found in (timeline, again):
        if found is not None:
            check_account(found, outcome)
    extents = [row[:2] for row in loop.rows]
    if len(set(extents)) == len(extents):  # of two with equal times the order of writing tells the outer one
        assert (timeline is None) == (again is None)
    if len(set(extents)) == len(extents) and timeline is not None and again is not None:
        assert timeline.bounds_ns.tolist() == again.bounds_ns.tolist()
        assert timeline.totals.tolist() == again.totals.tolist()


@given(st.integers(0, 400))
@settings(max_examples=40)
def test_a_record_cut_anywhere_still_sums(length: int) -> None:
    loop = Loop().validate(2)
    for _ in range(10):
        loop.begin().plain(5).exhaust().validate(2).span(Kind.SAVE, 0.1)
    loop.rows = loop.rows[:length]
    timeline = timeline_of(loop.rows)
    if timeline is not None:
        check_account(
            timeline, Outcome(exit_code=None, signal="SIGKILL", stopped_by_us=False, start_ns=0, end_ns=0)
        )


def test_lines_of_an_ordinary_run() -> None:
    loop = Loop().other(2.0)
    loop.begin(seconds=0.5).plain(20).exhaust().validate(3).span(Kind.SAVE, 0.25).plain(5)
    loop.span(Kind.COMPILE, 1.5).span(Kind.PAUSE, 0.125).plain(5).span(Kind.GAP, 30.0, a=400).plain(5)
    loop.other(3.0)
    record = run(
        loop.process(header={"torch_import_ns": START_NS + 500_000_000}),
        start_ns=START_NS - 1_000_000_000,
        end_ns=loop.now,
    )
    timeline = loop.timeline()
    timeline = analyse(record).timelines[0]
    lines = {line.name: line.seconds for line in account.lines(timeline, record.outcome)}
    assert lines == {
        "start of Python and its imports": pytest.approx(1.5),
        "building data, model and loop": pytest.approx(1.5),
        "waiting for data": pytest.approx(0.5 + 35 * 0.01 + 0.0001),
        "forward": pytest.approx(35 * 0.02),
        "backward": pytest.approx(35 * 0.03),
        "optimizer": pytest.approx(35 * 0.005),
        "checkpoint": pytest.approx(0.25),
        "evaluation": pytest.approx(0.0311),
        "torch.compile": pytest.approx(1.5),
        "steps not kept in detail": pytest.approx(30.0),
        "our own measuring": pytest.approx(0.125),
        "after the last step": pytest.approx(3.0),
    }
