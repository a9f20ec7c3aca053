"""A comparison for the terminal and, as Markdown, for a pull request."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from rich.cells import cell_len

from ..model.comparison import FORMAT, Comparison, Contrast
from . import compare_view as words
from .compare_view import Row
from .text import ascii_only, line

_PHASES = 6  # rows; the smallest phases of a step are left to the page
_FINDINGS = 6
_DIFFERENCES = 6
_COLOURS = {"good": "\x1b[32m", "bad": "\x1b[31m", "": ""}
_BOLD, _DIM, _OFF = "\x1b[1m", "\x1b[2m", "\x1b[0m"
_SPECIAL = str.maketrans(
    {**{mark: f"\\{mark}" for mark in "\\`*_[]|#~"}, "<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;"}
)


def terminal(comparison: Comparison, width: int = 80, color: bool = False, ascii: bool = False) -> str:
    """Return the summary for a terminal ``width`` columns wide, ending in a newline.

    Nothing that came from a run reaches the terminal as a control sequence.
    """
    lines: list[tuple[str, str]] = []
    for contrast in comparison.contrasts:
        lines += [*_head(contrast, width), ("", "")]
    lines += [*_sides(comparison, width), ("", "")]
    if len(comparison.contrasts) == 1:
        lines += _details(comparison.contrasts[0], width)
    shown = [(ascii_only(text) if ascii else text, style) for text, style in lines]
    told = [f"{style}{text}{_OFF}" if color and style and text else text for text, style in shown]
    return "\n".join(told).strip("\n") + "\n"


def _wrapped(text: str, width: int, style: str = "") -> list[tuple[str, str]]:
    """Return a text as lines of at most ``width`` characters."""
    return [(part, style) for part in textwrap.wrap(line(text, 600), width, break_on_hyphens=False)]


def _head(contrast: Contrast, width: int) -> list[tuple[str, str]]:
    """Return the answer, quality, and whether it is a regression."""
    rows = _wrapped(contrast.headline, width, _BOLD + _COLOURS[words.tone(contrast)])
    rows += _wrapped(contrast.delta.text, width)
    if contrast.regression is not None:
        rows += _wrapped(contrast.regression.text, width, _BOLD if contrast.regression.failed else "")
    return rows


def _sides(comparison: Comparison, width: int) -> list[tuple[str, str]]:
    """Return a line for each side."""
    rows = []
    for side in comparison.sides:
        facts = dict(words.side_facts(side, comparison))
        cells = [f"{side.letter}  {facts['mean step']} per step", f"{facts['timed steps']} steps"]
        if len(side.runs) > 1:
            cells.append(f"{len(side.runs)} runs")
        if comparison.metric is not None and side.quality is not None:
            cells.append(f"{line(comparison.metric, 40)} {side.quality.value:.4g}")
        text = ", ".join(cells)
        rows.append((f"{text}  {words.side_name(side, max(20, width - len(text) - 2))}", ""))
    return rows


def _details(contrast: Contrast, width: int) -> list[tuple[str, str]]:
    """Return phases, findings, what else differs, and what limits the answer."""
    phases = [words.phase(row) for row in contrast.phases[:_PHASES]]
    rows: list[tuple[str, str]] = []
    if phases:
        each = "sample" if contrast.speedup.basis == "sample" else "step"
        rows += _columns(
            [Row(name=f"Where a {each}'s time goes", before="A", after=contrast.letter), *phases]
        )
        rows.append(("", ""))
    for text in _findings(contrast):
        rows += _wrapped(text, width)
    for row in [words.difference(each) for each in contrast.differences[:_DIFFERENCES]]:
        rows += _wrapped(f"Also different: {row.name}: {row.before} -> {row.after}", width)
    left = len(contrast.differences) - _DIFFERENCES
    if left > 0:
        rows.append((f"... and {left} more differences in compare.html.", _DIM))
    for text in contrast.warnings:
        rows += _wrapped(text, width, _DIM)
    return rows


def _columns(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return rows as columns; the first is their heading."""
    cells = [(row.name, row.before, row.after, row.change) for row in rows]
    sizes = [max(cell_len(row[at]) for row in cells) for at in range(4)]
    told = []
    for row, source in zip(cells, rows, strict=True):
        name = row[0] + " " * (sizes[0] - cell_len(row[0]))
        rest = "  ".join(" " * (sizes[at] - cell_len(row[at])) + row[at] for at in (1, 2, 3))
        told.append((f"{name}  {rest}".rstrip(), _COLOURS[source.tone]))
    return [(told[0][0], _DIM), *told[1:]]


def _findings(contrast: Contrast) -> Iterable[str]:
    """Return findings fixed, new and still there, a line each."""
    rows = [words.finding(row) for row in contrast.findings]
    for row in rows[:_FINDINGS]:
        shares = " -> ".join(filter(None, (row.before, row.after)))
        yield f"{row.change}: {row.name}" + (f" ({shares} of a step)" if shares else "")
    if len(rows) > _FINDINGS:
        yield f"... and {len(rows) - _FINDINGS} more findings in compare.html."


def markdown(comparison: Comparison) -> str:
    """Return the summary as Markdown; what came from a run can neither format, link nor mention anybody."""
    parts = [f"<!-- {FORMAT} -->"]
    for contrast in comparison.contrasts:
        parts += [f"**{_plain(contrast.headline)}**", _plain(contrast.delta.text)]
        if contrast.regression is not None:
            parts.append(f"**{_plain(contrast.regression.text)}**")
    parts.append(_side_table(comparison))
    for contrast in comparison.contrasts:
        told = _markdown_details(contrast)
        if len(comparison.contrasts) > 1:
            told = [f"<details><summary>{contrast.letter} beside A</summary>", *told, "</details>"]
        parts += told
    return "\n\n".join(parts) + "\n"


def _side_table(comparison: Comparison) -> str:
    """Return all sides as a table."""
    rows = [words.side_facts(side, comparison) for side in comparison.sides]
    kept = [at for at in range(len(rows[0])) if any(row[at][1] for row in rows)]
    head = ["", "run", *(rows[0][at][0] for at in kept)]
    body = [
        [_plain(side.letter), _code(words.side_name(side)), *(_plain(row[at][1]) for at in kept)]
        for side, row in zip(comparison.sides, rows, strict=True)
    ]
    return _table([_plain(name) for name in head], body)


def _markdown_details(contrast: Contrast) -> list[str]:
    """Return the tables of one contrast and what limits the answer."""
    parts = []
    phases = [words.phase(row) for row in contrast.phases[:_PHASES]]
    if phases:
        body = [[_plain(cell) for cell in (row.name, row.before, row.after, row.change)] for row in phases]
        parts.append(_table([f"per {contrast.speedup.basis}", "A", contrast.letter, "change"], body))
    findings = [f"- {_plain(text)}" for text in _findings(contrast)]
    if findings:
        parts.append("\n".join(findings))
    differences = [words.difference(row) for row in contrast.differences]
    if differences:
        body = [[_plain(row.name), _code(row.before), _code(row.after)] for row in differences[:20]]
        parts.append("What else differs:\n\n" + _table(["", "A", contrast.letter], body))
    if contrast.warnings:
        parts.append("\n".join(f"- {_plain(text)}" for text in contrast.warnings))
    return parts


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _plain(text: str) -> str:
    """Return ``text`` so that Markdown shows it as it is."""
    return line(text, 600).translate(_SPECIAL)


def _code(text: str) -> str:
    """Return ``text`` as code; it is shown as it is but for backticks, and a bar does not end the cell."""
    shown = line(text, 200).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`" if shown else ""
