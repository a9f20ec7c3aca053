"""Advice priced by calls made again: what they saved, what is said where that was nothing, or none were made."""

from __future__ import annotations

from dataclasses import replace

import pytest
from build import measurements
from trainbottleneck import rulebook
from trainbottleneck.advise.engine import advise
from trainbottleneck.model.finding import Finding
from trainbottleneck.model.measurement import Measurements
from trainbottleneck.model.mitigation import Advice, Rejected

RULES = rulebook.load().mitigations
FINDING = Finding(
    rule="maths", bottleneck="memory_bandwidth", family="device", state="fires", title="T", share=0.9
)
GIVEN = {
    "step.mean_s": 0.1,
    "compute.frac": 0.9,
    "compute.model_frac": 0.9,
    "model.convolutions": 4,
    "model.double": 0,
    "model.parameters": 1e6,
    "model.parameter_bytes": 4e6,
    "amp.scaler": 0,
    "device.is_cuda": 0,
}


def of(name: str, found: Measurements) -> Advice | Rejected:
    """Return what becomes of one mitigation."""
    offered, rejected = advise([FINDING], found, [RULES[name]])
    return (*offered, *rejected)[0]


def given(**more: float) -> Measurements:
    """Return measurements with ``replay__x`` for ``replay.x``."""
    return measurements(**GIVEN, **{name.replace("__", "."): value for name, value in more.items()})


def test_the_gain_is_what_the_calls_saved_and_its_range_that_of_the_measurement() -> None:
    found = given(replay__channels_last_saved_s=0.02, replay__channels_last_covered_frac=0.9)
    name = "replay.channels_last_saved_s"
    one = replace(found.values_by_id[name], interval=(0.01, 0.03))
    advice = of("channels_last", replace(found, values_by_id={**found.values_by_id, name: one}))
    assert isinstance(advice, Advice)
    assert advice.basis == "replay"
    assert advice.speedup is not None
    ends = (advice.speedup.low, advice.speedup.likely, advice.speedup.high)
    assert ends == pytest.approx((1 / 0.9, 1 / 0.8, 1 / 0.7))


@pytest.mark.parametrize(
    ("saved", "says"),
    [(-0.05, "took 50 ms a step longer"), (0.0, "no operator"), (0.0005, "saved 500 µs a step")],
)
def test_what_did_not_pay_when_called_again_is_not_offered_and_the_measured_reason_is_given(
    saved: float, says: str
) -> None:
    found = of("amp_mixed_precision", given(replay__bf16_saved_s=saved, replay__bf16_covered_frac=0.9))
    assert isinstance(found, Rejected)
    assert says in found.reason


def test_on_a_cpu_of_which_nothing_was_called_again_no_figure_is_made_up() -> None:
    assert isinstance(of("amp_mixed_precision", given(replay__bf16_covered_frac=0)), Rejected)


def test_where_nothing_was_called_again_the_fallback_prices_and_that_is_said() -> None:
    found = measurements(**{**GIVEN, "model.double": 1, "replay.float32_covered_frac": 0})
    advice = of("float32_parameters", replace(found, missing={"replay": "the run had no closer look"}))
    assert isinstance(advice, Advice)
    assert advice.basis == "phase"
    assert advice.risk[0] == "Not timed again on this machine: the run had no closer look."
