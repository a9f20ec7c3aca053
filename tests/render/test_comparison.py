"""A comparison as JSON, on the terminal and as Markdown."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import msgspec
import pytest
from rich.cells import cell_len
from trainbottleneck.model.comparison import Comparison
from trainbottleneck.render import compare_html, compare_json, compare_text, pareto

from .comparisons import four, poisoned, two
from .hostile import PAYLOADS

SAMPLES = {"two": two, "four": four}


@pytest.mark.parametrize("name", SAMPLES)
def test_json_is_the_comparison_key_for_key(name: str) -> None:
    made = SAMPLES[name]()
    told = json.loads(compare_json.render(made))
    assert told.pop("format") == "bottleneck-compare"
    assert set(told) == {field.name for field in dataclasses.fields(Comparison)}
    assert msgspec.convert(told, Comparison) == made


def test_json_holds_no_nan() -> None:
    made = dataclasses.replace(
        two(), sides=tuple(dataclasses.replace(s, step_s=math.nan) for s in two().sides)
    )
    assert json.loads(compare_json.render(made))["sides"][0]["step_s"] is None


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("width", [40, 80, 100])
def test_no_line_of_the_terminal_is_wider_than_asked(name: str, width: int) -> None:
    lines = compare_text.terminal(SAMPLES[name](), width=width).splitlines()
    phases = [line for line in lines if "  " in line.strip()]
    assert all(cell_len(line) <= width for line in lines if line not in phases)
    assert all(cell_len(line) <= max(width, 72) for line in lines)


def test_the_terminal_says_what_a_reader_needs() -> None:
    text = compare_text.terminal(two())
    for part in ("as long as A", "Data wait", "Quality: unknown", "Regression: B is", "One run on each side"):
        assert part in text
    assert "\x1b" not in text and "\x1b[31m" in compare_text.terminal(two(), color=True)
    assert compare_text.terminal(two(), ascii=True).isascii()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_reaches_no_terminal(payload: str) -> None:
    text = compare_text.terminal(poisoned(two(), payload))
    assert all(char == "\n" or char.isprintable() for char in text)


@pytest.mark.parametrize(
    "payload", ["@everyone", "[x](https://example.com)", "<img src=x>", "a|b", "# h", "**b**"]
)
def test_hostile_text_formats_nothing_and_mentions_nobody_in_markdown(payload: str) -> None:
    made = poisoned(two(), payload)
    outside = "".join(part for at, part in enumerate(compare_text.markdown(made).split("`")) if at % 2 == 0)
    assert payload not in re.sub(r"\\.", "", outside)
    tables = [line for line in compare_text.markdown(made).splitlines() if line.startswith("| ")]
    plain = [line for line in compare_text.markdown(two()).splitlines() if line.startswith("| ")]
    assert [row.replace("\\|", "").count("|") for row in tables] == [row.count("|") for row in plain]


def test_markdown_of_many_sides_folds_their_details() -> None:
    text = compare_text.markdown(four())
    assert text.count("<details>") == text.count("</details>") == 3
    assert text.startswith("<!-- bottleneck-compare -->\n")


def test_the_picture_places_faster_to_the_left_and_more_above() -> None:
    found = pareto.picture(four())
    assert found is not None
    places = {dot.letter: (dot.x, dot.y) for dot in found.sides}
    assert places["C"][0] < places["B"][0] < places["A"][0]
    assert places["A"][1] < places["C"][1] < places["D"][1]
    assert all(found.left < x < found.right and found.top < y < found.bottom for x, y in places.values())
    assert [dot.letter for dot in found.sides if dot.best] == ["A", "B", "C"] and found.front.count("L") == 2
    assert len(found.runs) == 8 and 2 <= len(found.x_ticks) <= 7


def test_two_runs_are_no_picture() -> None:
    assert pareto.picture(two()) is None


def test_runs_that_are_all_alike_have_a_picture() -> None:
    same = tuple(dataclasses.replace(side, points=((0.1, 0.0),) * 2) for side in four().sides)
    assert pareto.picture(dataclasses.replace(four(), sides=same)) is not None


@pytest.mark.parametrize("name", SAMPLES)
def test_the_page_is_complete_and_says_the_same(name: str) -> None:
    made = SAMPLES[name]()
    page = compare_html.render(made)
    assert 'content="bottleneck-compare"' in page[:600]
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page
    for contrast in made.contrasts:
        assert contrast.headline in page
    assert len(page.encode()) < 200_000
