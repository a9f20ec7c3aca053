"""Operators that a loop in the model issues for one sample or time step after the other."""

from __future__ import annotations

from typing import Any

import pytest
from trainbottleneck.analyze import repetition
from trainbottleneck.analyze.operators import Operator, Roofs
from trainbottleneck.analyze.values import Values

ROOFS = Roofs(flops_per_s={"float32": 1e11}, bytes_per_s=1e10, launch_s=4e-6)


def operator(name: str, calls: float, line: str = "train.py:9", **more: Any) -> Operator:
    """Return an operator that takes as long as being issued, for a line of the root module."""
    given: dict[str, Any] = {
        "phase": "forward",
        "module": "Net",
        "seconds": 2e-6 * calls,
        "source": line,
    } | more
    return Operator(
        name=name, dims="", dtype="float32", device="cpu", calls=calls, flops=0.0, bytes=8.0, unique_bytes=8.0,
        out=1.0, **given,
    )  # fmt: skip


CLASSES = {"Net.rnn": "GRU", "Net.cell": "GRUCell"}


def measured(*operators: Operator, overhead: float = 0.5) -> Values:
    values = Values()
    values.give("device.overhead_frac", overhead)
    repetition.analyse(operators, CLASSES, ROOFS, False, values)
    return values


def test_what_recurs_has_its_part_of_what_issuing_takes() -> None:
    found = measured(
        operator("mm", 1, "train.py:3"), operator("softmax", 33), operator("add", 33), operator("neg", 1)
    )
    assert found.number("device.repeated_frac") == pytest.approx(0.5 * 64 / 68)
    assert found.build().labels["device.repeated"] == "64 for train.py:9"


def test_time_steps_within_a_recurrent_layer_are_no_loop_of_the_script() -> None:
    inside = operator("mm", 64, module="Net.rnn")
    assert measured(operator("mm", 1), inside).number("device.repeated_frac") == 0
    called = measured(operator("mm", 1), operator("mm", 64, module="Net.cell"))
    assert called.number("device.repeated_frac") == pytest.approx(0.5 * 64 / 66, abs=0.02)
    assert repetition.of_recurrent_layers([operator("mm", 36), inside], CLASSES) == 0.64
    assert repetition.of_recurrent_layers([], CLASSES) == 0


def test_micro_batches_are_no_loop() -> None:
    assert (
        measured(operator("mm", 32, "train.py:3"), operator("add", 32)).number("device.repeated_frac") == 0.0
    )


def test_layers_are_no_loop() -> None:
    layers = [operator("add", 1, module=f"Net.{n}") for n in range(40)]
    assert measured(*layers).number("device.repeated_frac") == 0.0


def test_large_operators_and_backward_are_none_either() -> None:
    large = operator("mm", 40, seconds=0.4, line="train.py:3")
    behind = operator("add", 40, phase="backward")
    found = measured(large, behind, operator("neg", 1))
    assert found.number("device.repeated_frac") == 0.0


def test_samples_of_different_lengths_are_one_loop() -> None:
    lengths = [operator("softmax", 1) for _ in range(20)]
    found = measured(operator("mm", 1, "train.py:3"), *lengths)
    assert found.number("device.repeated_frac") == pytest.approx(0.5 * 19 / 21)


def test_without_lines_nothing_is_said() -> None:
    found = measured(operator("softmax", 64, line="")).build()
    assert (
        "device.repeated_frac" not in found.values_by_id and "lines" in found.missing["device.repeated_frac"]
    )
