"""Traces of real devices, where they are at hand (BOTTLENECK_TRACES): values beside another tool's, and verdicts."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

import pytest
from trainbottleneck import rulebook
from trainbottleneck.analyze.device_time import temporal
from trainbottleneck.diagnosis import diagnose
from trainbottleneck.ingest import load_traces
from trainbottleneck.model.record import RunRecord
from trainbottleneck.model.report import Report

FOLDER = Path(os.environ.get("BOTTLENECK_TRACES", Path(__file__).parents[3] / "shared" / "traces"))
THEIRS = json.loads((Path(__file__).parents[1] / "records" / "traces" / "hta.json").read_text())["traces"]

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the folder of real traces is not here")


@cache
def record(*names: str) -> RunRecord:
    """Return the record of some of the traces."""
    return load_traces([FOLDER / f"{name}.pt.trace.json.gz" for name in names])


@cache
def report(*names: str) -> Report:
    """Return the report on some of the traces."""
    return diagnose(record(*names), rulebook.load([rulebook.shipped()]))


@pytest.mark.parametrize("name", [name for name, row in THEIRS.items() if row["differs"] is None])
def test_times_agree_with_holistic_trace_analysis(name: str) -> None:
    work = record(name).processes[0].device
    assert work is not None
    ours = temporal(work)
    for key in ("span", "idle", "compute", "other"):
        assert ours[key] / 1000 == pytest.approx(THEIRS[name][f"{key}_us"], rel=0.01)
    if ours["communication"]:
        percent = 100 * ours["overlap"] / ours["communication"]
        assert percent == pytest.approx(THEIRS[name]["overlap_percent"], abs=0.5)


def test_times_agree_where_both_count_the_same_kernels() -> None:
    work = record("a100_world16_rank0").processes[0].device
    assert work is not None
    ours = temporal(work.where(work.launch_ns >= 0))  # theirs are without those of CUDA graphs
    for key in ("span", "idle", "compute", "other"):
        assert ours[key] / 1000 == pytest.approx(THEIRS["a100_world16_rank0"][f"{key}_us"], rel=0.01)


def test_the_input_stall_shows_and_goes_with_workers() -> None:
    alone, helped = report("v100_resnet50_workers0"), report("v100_resnet50_workers4")
    assert (alone.verdict.bottleneck, alone.verdict.family) == ("dataloader", "input")
    assert alone.verdict.share == pytest.approx(0.33, abs=0.02)
    assert helped.verdict.family != "input"
    assert helped.measurements["input.wait_frac"]["value"] < 0.01
    assert alone.step is not None and helped.step is not None
    gained = alone.step.seconds["median"] - helped.step.seconds["median"]
    assert gained == pytest.approx(alone.measurements["step.data_wait_s"]["value"], rel=0.15)


VERDICTS = {
    "a100_alexnet": ("insufficient", "NO_TRAINING", None),
    "a100_world16_rank0": ("bottleneck", "OK", "communication"),
    "mi250_minitoy": ("insufficient", "SHORT_TRACE", None),
    "sampled_world128_rank0": ("bottleneck", "OK", "host_overhead"),
    "v100_ddp2_rank1": ("bottleneck", "OK", "host_overhead"),
    "v100_resnet50_workers4": ("bottleneck", "OK", "host_overhead"),
}


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_each_trace_has_its_verdict(name: str) -> None:
    verdict = report(name).verdict
    assert (verdict.state, verdict.result, verdict.bottleneck) == VERDICTS[name]
    if verdict.state == "bottleneck":
        assert any("profiler" in reason for reason in verdict.reasons)


def test_the_exchange_of_two_ranks_is_found_and_others_are_named() -> None:
    both = report("sampled_world128_rank0", "sampled_world128_rank1")
    firing = {finding.rule for finding in both.findings if finding.state == "fires"}
    assert "exposed_communication" in firing
    assert any("2 of 128 ranks" in reason for reason in both.verdict.reasons)
    assert [row["rank"] for row in both.run["traces"]] == [0, 1]


def test_phases_are_those_a_trace_can_show() -> None:
    step = report("v100_resnet50_workers0").step
    assert step is not None
    assert sum(part.share for part in step.phases) == pytest.approx(1.0)
    assert {"checkpoint", "evaluation", "logging", "gc"}.isdisjoint(part.phase for part in step.phases)
