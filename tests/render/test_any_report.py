"""Whatever a report holds, every output can be made of it, is bounded, and does nothing to its reader."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from trainbottleneck.model.report import Report
from trainbottleneck.render import html_report, json_report, terminal_report

from .hostile import PAYLOADS, outline, poisoned
from .samples import rich
from .strategies import reports

SLOW = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
# Everything that a terminal acts on, but for our own newlines.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@SLOW
@given(report=reports, width=st.integers(1, 300), ascii=st.booleans())
def test_terminal_output_is_inert_and_within_its_width(report: Report, width: int, ascii: bool) -> None:
    text = terminal_report.render(report, width=width, ascii=ascii)
    assert not CONTROL.search(text)
    assert max(map(cell_len, text.splitlines())) <= max(30, width)
    assert text.isascii() or not ascii


@SLOW
@given(report=reports)
def test_page_holds_nothing_but_our_own_elements(report: Report) -> None:
    page = html_report.render(report)
    assert len(page.encode()) < html_report.MOST_BYTES
    assert outline(page).problems == []


@SLOW
@given(report=reports)
def test_json_is_strict_and_reversible(report: Report) -> None:
    text = json_report.render(report)
    json.loads(text, parse_constant=pytest.fail)
    assert json_report.render(json_report.load(text)) == text


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_is_shown_and_never_acted_on(payload: str, closed: bool) -> None:
    page = html_report.render(poisoned(rich(), payload, closed))
    found = outline(page)
    assert found.problems == []
    if payload.isprintable():
        assert payload in found.text
    assert not CONTROL.search(page.replace("\t", ""))
    summary = terminal_report.render(poisoned(rich(), payload, closed))
    assert not CONTROL.search(summary)


def test_markup_of_the_terminal_library_is_printed_literally() -> None:
    report = poisoned(rich(), "[red]x[/red][link=file:///etc]", True)
    assert "[red]x[/red]" in terminal_report.render(report, width=200)


def test_page_stays_under_a_megabyte_whatever_the_run() -> None:
    report = rich()
    long = poisoned(report, "<&\"'>" * 40000, True)
    pictures = dict(report.pictures, steps=list(report.pictures["steps"]) * 400)
    pictures["stacks"] = {"flame": _wide_tree(9), "trainer": [{"text": "<" * 9999, "share": 0.1}] * 900}
    huge = dataclasses.replace(
        long,
        findings=long.findings * 200,
        mitigations=long.mitigations * 200,
        rejected=long.rejected * 2000,
        not_evaluated=long.not_evaluated * 2000,
        ranks=report.ranks * 5000,
        measurements={f"area.{index}": {"value": 1.0} for index in range(20000)},
        pictures=pictures,
    )
    page = html_report.render(huge)
    assert 200_000 < len(page.encode()) < html_report.MOST_BYTES
    assert "more in report.json" in page


def _wide_tree(depth: int) -> dict[str, object]:
    """Return a tree of stacks with three callees per frame."""
    children = [_wide_tree(depth - 1) for _ in range(3)] if depth else []
    return {"name": "<frame>" * 30, "value": 3**depth, "children": children}


def test_the_same_report_gives_the_same_bytes() -> None:
    assert html_report.render(rich()) == html_report.render(rich())
    assert json_report.render(rich()) == json_report.render(rich())
