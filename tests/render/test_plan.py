"""The sentence on what the best advice gains together."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from trainbottleneck.model.finding import Interval
from trainbottleneck.model.report import Plan, Report
from trainbottleneck.render import html_report, json_report, plan, terminal_report

from . import samples

PLAN = Plan(
    advice=(samples.rich().mitigations[0].id, samples.rich().mitigations[1].id),
    speedup=Interval(low=2.0, likely=2.5, high=3.0),
    after_s=0.024,
    next_wall="checkpoint",
)
SAID = "1 and 2 together: about 24 ms a step (simulated), then limited by Checkpoints"


def report(some: Plan | None = PLAN) -> Report:
    """Return a report with this plan."""
    return replace(samples.rich(), plan=some)


def test_a_plan_is_said_in_one_sentence_everywhere() -> None:
    assert plan.sentence(report()) == SAID
    assert SAID in terminal_report.render(report(), width=100)
    assert SAID in html_report.render(report())


def test_a_plan_survives_the_file() -> None:
    assert json_report.load(json_report.render(report())).plan == PLAN
    assert json_report.load(json_report.render(report(None))).plan is None


@pytest.mark.parametrize(
    "some",
    [None, replace(PLAN, after_s=math.nan), replace(PLAN, advice=("one",)), replace(PLAN, advice=("a", "b"))],
)
def test_what_can_not_be_shown_is_left_out(some: Plan | None) -> None:
    assert plan.sentence(report(some)) == ""
