"""The terminal summary fits its screen and tells the essentials."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from trainbottleneck.render import RENDERERS, terminal_report

from .samples import SAMPLES, rich


@pytest.mark.parametrize("name", SAMPLES)
def test_fits_one_screen_of_80_by_24(name: str) -> None:
    lines = RENDERERS["terminal"](SAMPLES[name]()).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("width", [30, 40, 61, 100, 200])
@pytest.mark.parametrize("ascii", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, ascii: bool) -> None:
    lines = terminal_report.render(rich(), width=width, ascii=ascii).splitlines()
    assert max(map(cell_len, lines)) <= width


def test_tells_verdict_shares_gains_and_costs() -> None:
    text = " ".join(RENDERERS["terminal"](rich()).split())
    for part in (
        "Bottleneck: CPU preprocessing",
        "confidence: high",
        "17.0 h a day (42.60 in money)",
        "Data wait 71 % 58.9 ms",
        "Make batches in 6 worker processes 3.4×",
        "simulated 2.9 to 3.5×; effort: a setting; risk: Random numbers",
        "Not measured (3): GPU utilisation",
        "Cost of measuring: 0.2 % of a step (210 µs)",
    ):
        assert part in text


def test_what_is_paid_once_is_not_told_by_the_day() -> None:
    made = rich()
    once = replace(made, verdict=replace(made.verdict, share_basis="run"))
    text = " ".join(RENDERERS["terminal"](once).split())
    assert "71 % of this run, once." in text and "a day" not in text
    page = RENDERERS["html"](once)
    assert "of this run went into it, once" in page and "lost in 24 hours" not in page


def test_methods_that_save_steps_are_never_ranked_among_those_that_save_time() -> None:
    text = terminal_report.render(rich())
    assert "Let the learning rate end" not in text
    assert "1 to need fewer steps" in text


def test_ascii_output_holds_nothing_else() -> None:
    assert terminal_report.render(rich(), ascii=True).isascii()


def test_colour_is_added_only_when_asked_for() -> None:
    assert "\x1b" not in terminal_report.render(rich(), color=False)
    coloured = terminal_report.render(rich(), color=True)
    assert "\x1b[1;31m" in coloured
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [row.rstrip() for row in plain.splitlines()] == terminal_report.render(rich()).splitlines()


def test_bars_are_proportional_to_shares() -> None:
    rows = terminal_report.render(rich(), width=120).splitlines()
    wait, backward = (
        next(row for row in rows if row.startswith(f"  {name}")) for name in ("Data wait", "Backward")
    )
    assert wait.count("\u2588") == pytest.approx(backward.count("\u2588") * 0.71 / 0.142, rel=0.1)
