"""Records in which the phases mislead: the verdict must follow what taking the resource away gained."""

from __future__ import annotations

import pytest
from trainbottleneck.diagnosis import diagnose
from trainbottleneck.model.report import Report
from trainbottleneck.model.span import Kind
from trainbottleneck.rulebook import load, shipped

from .experiments import Step, experiment, observed
from .records import Loop, run

BOOK = load([shipped()])


def waits(loop: Loop) -> Loop:
    """A step that waits 25 of 80 ms for its batch."""
    return loop.fetch(0.025).forward().backward().step()


def report(as_is: Step, without: Step, arm: str = "input") -> Report:
    """Return the report on a loop that was experimented with."""
    seen = observed(as_is).tell("loader", number=1, workers=0, batch_size=8)
    return diagnose(run(experiment(seen, arm, as_is, without).process()), BOOK)


def test_a_wait_that_hides_nothing_is_no_bottleneck() -> None:
    def late(loop: Loop) -> Loop:  # the batch is there, and the loop waits for the device instead
        return loop.fetch(0.0).forward(0.045).backward().step()

    made = report(waits, late)
    assert made.verdict.state == "healthy"
    silent = [one for one in made.findings if one.bottleneck == "dataloader" and one.state == "silent"]
    assert any("something else takes its place" in one.text and one.raw_share for one in silent)


def test_a_wait_that_hides_everything_is_one_and_its_share_is_the_ceiling() -> None:
    made = report(waits, lambda loop: loop.fetch(0.0).forward().backward().step())
    assert (made.verdict.state, made.verdict.family) == ("bottleneck", "input")
    assert made.verdict.share_basis == "ceiling"
    assert made.verdict.share == pytest.approx(25 / 80, abs=0.01)


def test_workers_that_only_take_cores_are_found_although_nothing_waits() -> None:
    def crowded(loop: Loop) -> Loop:
        return loop.fetch(0.0005).forward(0.05).backward(0.05).step()

    def alone(loop: Loop) -> Loop:
        return loop.fetch(0.0005).forward(0.02).backward(0.03).step()

    made = report(crowded, alone)
    assert (made.verdict.state, made.verdict.bottleneck) == ("bottleneck", "dataloader")
    assert made.verdict.share == pytest.approx(0.05 / 0.1055, abs=0.01)
    assert "shorter" in made.verdict.headline


def test_logging_that_works_in_the_background_counts_with_all_it_costs() -> None:
    def logs(loop: Loop) -> Loop:
        return loop.fetch(0.0).forward(0.05).backward(0.05).step().span(Kind.LOG, 0.02)

    made = report(logs, lambda loop: loop.fetch(0.0).forward().backward().step(), "logging")
    assert made.verdict.bottleneck == "logging"
    assert made.verdict.share == pytest.approx(1 - 0.055 / 0.125, abs=0.01)
    (finding,) = [one for one in made.findings if one.bottleneck == "logging" and one.state == "fires"]
    assert finding.raw_share == pytest.approx(0.02 / 0.125, abs=0.01)
    gains = [one for one in made.mitigations if one.bottleneck == "logging" and one.basis == "ceiling"]
    assert gains and max(one.speedup.likely for one in gains if one.speedup) > 1 / (1 - 0.3)


def test_a_resource_that_could_not_be_taken_away_keeps_its_phase_share() -> None:
    seen = experiment(observed(waits), "input", waits, waits, state="refused", reason="a stream")
    made = diagnose(run(seen.process()), BOOK)
    assert made.verdict.family == "input" and made.verdict.share_basis in ("phase", "bracket")
    assert made.verdict.share == pytest.approx(25 / 80, abs=0.01)


def test_a_ceiling_that_noise_leaves_open_does_not_clear_a_suspect() -> None:
    flip = [0]

    def noisy(loop: Loop) -> Loop:
        flip[0] += 1
        return loop.fetch(0.0).forward(0.02 if flip[0] // 10 % 3 else 0.15).backward().step()

    made = report(waits, noisy)
    assert made.verdict.family == "input" and made.verdict.share_basis != "ceiling"
