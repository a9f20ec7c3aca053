"""Seconds that a change saves, from times of calls made again, on records built by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from analyze.records import Loop, run
from hypothesis import given
from hypothesis import strategies as st
from trainbottleneck.analyze.measure import analyse
from trainbottleneck.analyze.replayed import FACTOR, read_replayed
from trainbottleneck.model.measurement import Measurements

MS = 1_000_000  # nanoseconds


def again(
    captured: float, *, train: float | None = None, name: str = "mm", dtype: str = "float32", **ms: float
) -> dict[str, Any]:
    """Return one call: what it takes in ms in three rounds as captured and changed, and what it took in training."""
    times = {change: [round(value * MS)] * 3 for change, value in {"captured": captured, **ms}.items()}
    seconds = (captured if train is None else train) / 1e3
    row = {"op": name, "phase": "forward", "dtype": dtype, "dims": "8x8", "calls": 1.0, "seconds": seconds}
    return {**row, "times": times, "problems": {}}


def measured(
    rows: list[dict[str, Any]], totals: list[list[Any]] | None = None, optimizers: Any = (), **more: Any
) -> Measurements:
    """Return the measurements of a run of steps with 20 ms forward, 30 ms backward and 5 ms of update."""
    whole = [["forward", row["op"], row["dtype"], row["seconds"]] for row in rows]
    told = {
        "device": "cpu",
        "floor_ns": 0,
        "operators": rows,
        "optimizers": list(optimizers),
        "totals": totals or whole,
    }
    found = run(Loop().plain(40).process())
    return analyse(replace(found, deep={100: {"unit": 1, "replay": {**told, **more}}})).measurements


def test_what_is_saved_is_the_training_s_time_in_the_ratio_of_the_calls_made_again() -> None:
    found = measured([again(10, train=12, bf16=4), again(5, bf16=4)])
    saved = found["replay.bf16_saved_s"]
    assert saved.value == pytest.approx(0.012 * 0.6 + 0.005 * 0.2)
    assert found.number("replay.bf16_left_frac") == pytest.approx(1 - 0.0082 / 0.017)
    assert found.number("replay.bf16_covered_frac") == 1
    assert saved.interval is not None
    assert saved.interval[0] < saved.value < saved.interval[1]  # by what replay and training differ


def test_what_forward_did_before_belongs_to_backward() -> None:
    recomputed = again(40, bf16=20) | {"phase": "again"}
    found = measured([recomputed], totals=[["again", "mm", "float32", 0.04]])
    assert found.number("replay.bf16_saved_s") == pytest.approx(0.03 * 0.5)  # of backward's 30 ms


def test_twice_the_batch_is_twice_the_work() -> None:
    assert measured([again(10, batch=15)]).number("replay.batch_saved_s") == pytest.approx(0.0025)
    assert measured([again(10, batch=25)]).number("replay.batch_saved_s") == pytest.approx(-0.0025)


@pytest.mark.parametrize("train", [6 * FACTOR * 1.01, 6 / FACTOR / 1.01])
def test_a_call_that_took_another_time_in_training_says_nothing(train: float) -> None:
    found = measured([again(6, train=train, bf16=1), again(10, bf16=8)])
    assert found["replay.bf16_saved_s"].interval == pytest.approx((0.002, 0.002 * (10 + train) / 10))
    assert found.number("replay.covered_frac") == pytest.approx(10 / (10 + train))
    alone = measured([again(6, train=train, bf16=1)])
    assert "replay.bf16_saved_s" not in alone
    assert "took" in alone.why_missing("replay.bf16_saved_s")


def test_like_operators_that_were_not_called_again_gain_alike_at_the_most() -> None:
    totals = [["forward", "mm", "float32", 0.02], ["forward", "relu", "float32", 0.5]]
    found = measured([again(10, bf16=5, batch=11)], totals)
    saved = found["replay.bf16_saved_s"]
    # 20 ms of forward belong to 520 ms of operators: all of them shrink to the phase they are part of
    assert saved.value == pytest.approx(0.01 * 20 / 520)
    assert saved.interval == pytest.approx((0.005 * 20 / 520, 0.01 * 20 / 520))
    assert "replay.batch_saved_s" not in found  # any operator may change, and 10 of 520 ms stand for nothing
    assert "only 2%" in found.why_missing("replay.batch_saved_s")


def test_where_nothing_would_change_nothing_is_saved_but_a_change_that_failed_is_unknown() -> None:
    found = measured([again(10)])
    assert found.number("replay.channels_last_saved_s") == 0
    failed = again(10) | {"problems": {"channels_last": "RuntimeError: no"}}
    assert "replay.channels_last_saved_s" not in measured([failed])


def test_float64_gains_with_its_update_and_its_cost_is_that_of_the_run() -> None:
    update = {"name": "SGD", "part": 0.5, "times": {"captured": [2_500_000], "float32": [1_250_000]}}
    found = measured([again(10, float32=4, dtype="float64")], optimizers=[update])
    assert found.number("replay.float32_saved_s") == pytest.approx(0.006 + 0.0025)
    assert found.number("device.double_cost") == pytest.approx(2.5)


def test_an_update_that_takes_as_long_again_tells_what_fused_saves() -> None:
    times = {"captured": [5 * MS], "fused": [1 * MS], "foreach": [6 * MS]}
    found = measured([again(10)], optimizers=[{"name": "Adam", "part": 1.0, "times": times}])
    assert found.number("replay.fused_saved_s") == pytest.approx(0.004)
    assert found.number("replay.foreach_saved_s") == pytest.approx(-0.001)
    slow = measured([again(10)], optimizers=[{"part": 1.0, "times": {**times, "captured": [9 * MS]}}])
    assert "replay.fused_saved_s" not in slow
    assert "when made again alone" in slow.why_missing("replay.fused_saved_s")


def test_the_device_s_time_is_no_part_of_the_host_s_phases() -> None:
    assert measured([again(100, bf16=40)], device="cuda").number("replay.bf16_saved_s") == pytest.approx(0.06)


def test_without_calls_made_again_nothing_is_covered_and_the_reason_is_given() -> None:
    found = analyse(run(Loop().plain(40).process())).measurements
    assert found.number("replay.bf16_covered_frac") == 0
    assert "called again" in found.why_missing("replay.bf16_saved_s")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=3),
        lambda x: (
            st.lists(x, max_size=5)
            | st.dictionaries(st.sampled_from(["op", "times", "calls"]), x, max_size=3)
        ),
        max_leaves=20,
    )
)
def test_whatever_the_file_holds_reading_it_does_not_fail(junk: Any) -> None:
    read_replayed(junk)
    read_replayed({"operators": junk})
    read_replayed(
        {"operators": [again(1) | {"times": junk}], "optimizers": junk, "totals": junk, "floor_ns": junk}
    )
