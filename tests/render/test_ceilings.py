"""What the report shows of experiments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trainbottleneck.render import ceilings, html_report, terminal_report
from trainbottleneck.render.text import Limits

from .samples import rich


def test_each_measured_resource_is_a_bar_with_its_interval_and_the_rest_says_why_not() -> None:
    found = ceilings.section(rich(), Limits())
    assert found is not None
    assert [bar["label"] for bar in found["bars"]] == ["without input pipeline", "without logging"]
    assert found["bars"][0]["change"] == "71 % shorter" and found["bars"][1]["change"] == "unchanged"
    assert [note["label"] for note in found["notes"]] == ["loader alone", "evaluation", "checkpoints"]
    assert "900 steps" in found["notes"][2]["text"]


def test_bars_are_in_proportion_to_the_step_as_it_is() -> None:
    found = ceilings.section(rich(), Limits())
    assert found is not None
    assert abs(found["bars"][0]["width"] / found["scale"] - (1 - 0.709)) < 1e-9


def test_the_page_says_how_it_was_measured_and_the_terminal_names_the_largest() -> None:
    page = html_report.render(rich())
    assert "took turns in the same process" in page and "without input pipeline" in page
    assert "A step without: input pipeline 24.1 ms (71 % shorter)" in terminal_report.render(
        rich(), width=100
    )


def test_a_run_without_experiments_shows_no_section() -> None:
    plain = replace(rich(), ceilings=())
    assert ceilings.section(plain, Limits()) is None and ceilings.sentence(plain) == ""
    assert "Ceilings" not in html_report.render(plain)


def test_a_bracket_is_shown_as_what_it_is() -> None:
    row: dict[str, Any] = {"resource": "input", "state": "bracket", "share": 0.3, "reason": "made slower"}
    found = ceilings.section(replace(rich(), ceilings=(row,)), Limits())
    assert found is not None and not found["bars"]
    assert found["notes"][0]["text"] == "at most 30 % of a step: made slower"
