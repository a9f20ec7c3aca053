"""The terminal summary: verdict, shares and the three best mitigations on one screen."""

from __future__ import annotations

import io

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..model.mitigation import Advice
from ..model.report import PhaseShare, Report
from . import view
from .text import ascii_only, code_spans, cut, line

# Colours of the sixteen every terminal has; families share one, as in report.html.
_COLOURS = {
    "data_wait": "red",
    "h2d": "yellow",
    "forward": "cyan",
    "backward": "blue",
    "optimizer": "blue",
    "communication": "magenta",
    "sync": "magenta",
    "checkpoint": "green",
    "evaluation": "green",
    "logging": "green",
}
_STATE_COLOURS = {"bottleneck": "red", "healthy": "green", "insufficient": "yellow"}
# Six rows of phases and three mitigations of two lines leave an 80 x 24 screen room for the rest.
_ROWS = 6
_TOP = 3
_NARROWEST = 30


def render(report: Report, width: int = 80, color: bool = False, ascii: bool = False) -> str:
    """Return the summary as text for a terminal ``width`` columns wide, ending in a newline.

    ``color`` adds ANSI colours; ``ascii`` keeps to ASCII. Nothing that came from the run is
    read as markup or reaches the terminal as a control sequence.
    """
    target = io.StringIO()
    console = Console(
        file=target,
        width=max(_NARROWEST, width),
        height=100,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
        _environ={},  # a report depends on nothing but its arguments
    )
    console.print(Group(*_parts(report, console.width, ascii)))
    lines = [row.rstrip() for row in target.getvalue().splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def _parts(report: Report, width: int, ascii: bool) -> list[RenderableType]:
    """Return the summary's parts from top to bottom."""
    parts: list[RenderableType] = [_title(report, width, ascii), *_verdict(report, ascii)]
    if view.phases(report):
        parts += [Text(), _steps_line(report, ascii), _phase_rows(report, width, ascii)]
    if report.mitigations:
        parts += [Text(), *_mitigations(report, width, ascii)]
    parts += [Text(), *_footer(report, width, ascii)]
    return parts


def _say(value: str, ascii: bool, style: str = "", code: str = "") -> Text:
    """Return ``value`` with the parts between backticks in style ``code``."""
    text = Text(style=style)
    for part, is_code in code_spans(ascii_only(value) if ascii else value):
        text.append(part, style=code if is_code else "")
    return text


def _title(report: Report, width: int, ascii: bool) -> RenderableType:
    """Return the first line: state and bottleneck on the left, confidence on the right."""
    verdict = report.verdict
    state = view.STATES.get(verdict.state, line(verdict.state, 20))
    left = f"{state}: {view.bottleneck(verdict.bottleneck)}" if verdict.bottleneck else state
    if verdict.state == "insufficient":
        left = f"{state}: {line(verdict.result, 40)}"
    right = f"confidence: {line(verdict.confidence, 12)}" if verdict.state != "insufficient" else ""
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1)
    grid.add_column(justify="right")
    style = f"bold {_STATE_COLOURS.get(verdict.state, 'yellow')}"
    grid.add_row(_say(cut(left, width - len(right) - 1), ascii, style), _say(right, ascii, "dim"))
    return grid


def _verdict(report: Report, ascii: bool) -> list[RenderableType]:
    """Return headline, what it costs, and what limits the confidence."""
    verdict = report.verdict
    parts: list[RenderableType] = [_say(line(verdict.headline, 480), ascii, "bold", "cyan")]
    lost, ceiling = view.lost_per_day(report), view.whole(verdict.ceiling_speedup)
    costs = []
    if lost is not None:
        money = f" ({lost[1]} in money)" if lost[1] else ""
        costs.append(f"costs {view.share(verdict.share)} of a step, {lost[0]} of 24 h{money}")
    if ceiling is not None and verdict.state == "bottleneck":
        costs.append(f"without it at most {view.ratio(ceiling.likely)} faster")
    if costs:
        sentence = "; ".join(costs)
        parts.append(_say(sentence[:1].upper() + sentence[1:] + ".", ascii))
    if verdict.reasons and verdict.confidence != "high":
        parts.append(_say(line(" ".join(verdict.reasons[:3]), 240), ascii, "dim"))
    return parts


def _steps_line(report: Report, ascii: bool) -> Text:
    """Return the heading of the phases: what a step takes and how many were measured."""
    assert report.step is not None
    median = view.median_step(report)
    took = "" if median is None else f": {view.duration(median)} (median of {report.step.count})"
    return _say(f"Where a step's time goes{took}", ascii, "underline")


def _phase_rows(report: Report, width: int, ascii: bool) -> RenderableType:
    """Return a row per phase, longest first, the smallest together in one."""
    parts = sorted(view.phases(report), key=lambda part: -part.share)
    shown = parts if len(parts) <= _ROWS else parts[: _ROWS - 1]
    rest = parts[len(shown) :]
    grid = Table.grid(padding=(0, 1))
    for justify in ("left", "right", "right", "left"):
        grid.add_column(justify=justify, no_wrap=True)  # type: ignore[arg-type]
    room = max(4, width - 46)
    for part in shown:
        grid.add_row(*_phase_row(part, room, ascii))
    if rest:
        together = PhaseShare(
            phase=f"{len(rest)} others", seconds=sum(p.seconds for p in rest), share=sum(p.share for p in rest)
        )
        grid.add_row(*_phase_row(together, room, ascii))
    return Padding(grid, (0, 0, 0, 2))


def _phase_row(part: PhaseShare, room: int, ascii: bool) -> tuple[Text, Text, Text, Text]:
    """Return label, share, time and bar of one phase; a bar of ``room`` columns is the whole step."""
    cells = min(1.0, max(0.0, part.share)) * room
    bar = "#" * round(cells) if ascii else "\u2588" * int(cells) + ("\u258c" if cells % 1 >= 0.5 else "")
    return (
        _say(cut(view.phase_label(part.phase), 20), ascii),
        _say(view.share(part.share), ascii, "bold"),
        _say(view.duration(part.seconds), ascii, "dim"),
        Text(bar or ("." if ascii else "\u258f"), style=_COLOURS.get(part.phase, "bright_black")),
    )


def _mitigations(report: Report, width: int, ascii: bool) -> list[RenderableType]:
    """Return the three best: title and gain on one line, basis, effort and risk on the next."""
    per_step = [advice for advice in report.mitigations if not view.fewer_steps(advice)]
    fewer = len(report.mitigations) - len(per_step)
    top = (per_step or list(report.mitigations))[:_TOP]
    more = len(per_step or report.mitigations) - len(top)
    left = f"What would help{f' ({more} more in the report)' if more > 0 else ''}"
    parts: list[RenderableType] = [_say(left, ascii, "underline")]
    for rank, advice in enumerate(top, 1):
        parts += _mitigation(rank, advice, width, ascii)
    if fewer and per_step:
        parts.append(_say(f"To need fewer steps: {fewer} methods in the report.", ascii, "dim"))
    return parts


def _mitigation(rank: int, advice: Advice, width: int, ascii: bool) -> list[RenderableType]:
    """Return the two lines of one mitigation."""
    found = view.whole(advice.speedup)
    gain = view.gain(advice)
    gain = f"gain {gain}" if gain == "unknown" else gain
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(width=1)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis" if not ascii else "crop")
    grid.add_column(justify="right", no_wrap=True)
    title = cut(line(advice.title), max(8, width - len(gain) - 5))
    grid.add_row(Text(str(rank), style="bold"), _say(title, ascii, "bold"), _say(gain, ascii, "bold green"))
    words = [view.BASES.get(advice.basis, (line(advice.basis, 20),))[0]]
    if found is not None and advice.basis != "unknown" and view.spread(found):
        words[0] += f" {view.spread(found)}"
    words.append(f"effort: {view.EFFORTS.get(advice.effort, line(advice.effort, 20))}")
    risk = line(advice.risk[0], 160) if advice.risk else "none known"
    words.append(f"risk: {risk}")
    grid.add_row(Text(), _say(cut("; ".join(words), width - 3), ascii, "dim"), Text())
    return [grid]


def _footer(report: Report, width: int, ascii: bool) -> list[RenderableType]:
    """Return one line on what was not measured and one on what measuring cost."""
    parts: list[RenderableType] = []
    missing = [line(entry.what, 40) for entry in report.not_evaluated]
    if missing:
        text, shown = f"Not measured ({len(missing)}): ", 0
        while shown < len(missing) and len(text) + len(missing[shown]) < width - 6:
            text += ("" if shown == 0 else ", ") + missing[shown]
            shown += 1
        parts.append(_say(cut(text + ("" if shown == len(missing) else ", \u2026"), width), ascii, "dim"))
    cost = view.overhead(report) or "not measured"
    parts.append(_say(cut(f"Cost of measuring: {cost}", width), ascii, "dim"))
    return parts
