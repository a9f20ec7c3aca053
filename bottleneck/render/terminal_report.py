"""The terminal summary: verdict, shares and the three best mitigations on one screen."""

from __future__ import annotations

import io
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..model.mitigation import Advice
from ..model.report import PhaseShare, Report
from . import ceilings, plan, ranks, trials, view
from .text import ascii_only, code_spans, line

# Colours of the sixteen that every terminal has; families share one, as in report.html.
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
# Five rows of phases and three mitigations of two lines leave room for the rest on 80 x 24.
_ROWS = 5
_TOP = 3
_NARROWEST = 30


@dataclass(frozen=True, slots=True)
class _Pen:
    """How to write for one terminal: its width in columns, and whether it knows nothing but ASCII."""

    width: int
    ascii: bool

    def say(self, value: str, style: str = "", code: str = "") -> Text:
        """Return ``value``, the parts between backticks in style ``code``."""
        text = Text(style=style)
        for part, is_code in code_spans(ascii_only(value) if self.ascii else value):
            text.append(part, style=code if is_code else "")
        return text

    def fit(self, value: str, room: int) -> str:
        """Return ``value`` in at most ``room`` columns; wide characters count as two."""
        value = ascii_only(value) if self.ascii else value
        mark = "..." if self.ascii else "\u2026"
        if cell_len(value) <= room:
            return value
        return set_cell_size(value, max(0, room - len(mark))).rstrip() + mark

    def ends(self, left: Text, right: Text) -> RenderableType:
        """Return one line with ``left`` and ``right`` at its ends."""
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(ratio=1, no_wrap=True)
        grid.add_column(justify="right", no_wrap=True)
        grid.add_row(left, right)
        return grid


def render(report: Report, width: int = 80, color: bool = False, ascii: bool = False) -> str:
    """Return the summary as text for a terminal ``width`` columns wide, ending in a newline.

    ``color`` adds ANSI colours; ``ascii`` keeps to ASCII. Nothing that came from the run is
    read as markup or reaches the terminal as a control sequence.
    """
    target = io.StringIO()
    pen = _Pen(max(_NARROWEST, width), ascii)
    console = Console(
        file=target,
        width=pen.width,
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
    console.print(Group(*_parts(report, pen)))
    lines = [row.rstrip() for row in target.getvalue().splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


def _parts(report: Report, pen: _Pen) -> list[RenderableType]:
    """Return the summary's parts from top to bottom."""
    parts: list[RenderableType] = [_title(report, pen), *_verdict(report, pen)]
    if view.phases(report):
        parts += [Text(), _steps_line(report, pen), *_phase_rows(report, pen)]
    if ceilings.sentence(report):
        parts.append(pen.say(pen.fit(ceilings.sentence(report), pen.width), "dim"))
    if ranks.sentence(report):
        parts.append(pen.say(pen.fit(ranks.sentence(report), pen.width), "dim"))
    if report.mitigations:
        parts += [Text(), *_mitigations(report, pen)]
    if plan.sentence(report):
        parts.append(pen.say(pen.fit(plan.sentence(report), pen.width), "bold"))
    return [*parts, Text(), *_footer(report, pen)]


def _title(report: Report, pen: _Pen) -> RenderableType:
    """Return the first line: state and bottleneck on the left, confidence on the right."""
    verdict = report.verdict
    what = f": {line(verdict.result, 40)}" if verdict.state == "insufficient" else ""
    right = "" if verdict.state == "insufficient" else f"confidence: {line(verdict.confidence, 12)}"
    left = pen.fit(view.label(verdict) + what, pen.width - len(right) - 1)
    style = f"bold {_STATE_COLOURS.get(verdict.state, 'yellow')}"
    return pen.ends(pen.say(left, style), pen.say(right, "dim"))


def _verdict(report: Report, pen: _Pen) -> list[RenderableType]:
    """Return headline, what it costs, and what limits the confidence."""
    verdict = report.verdict
    parts: list[RenderableType] = [pen.say(line(verdict.headline, 480), "bold", "cyan")]
    lost, ceiling = view.lost_per_day(report), view.whole(verdict.ceiling_speedup)
    if lost is not None:
        money = f" ({lost[1]} in money)" if lost[1] else ""
        limit = "" if ceiling is None else f"; at most {view.ratio(ceiling.likely)} to gain"
        parts.append(pen.say(f"Lost: {view.share(verdict.share)} of a step, {lost[0]} a day{money}{limit}."))
    elif view.lost_share(verdict) is not None:
        parts.append(pen.say(f"Lost: {view.share(verdict.share)} of this run, once."))
    if verdict.reasons and verdict.confidence != "high":
        parts.append(pen.say(pen.fit(line(" ".join(verdict.reasons[:3]), 480), pen.width), "dim"))
    return parts


def _steps_line(report: Report, pen: _Pen) -> Text:
    """Return the heading of the phases: what a step takes and how many were measured."""
    median = view.median_step(report)
    count = 0 if report.step is None else report.step.count
    took = "" if median is None else f": {view.duration(median)} (median of {count})"
    return pen.say(f"Where a step's time goes{took}", "underline")


def _phase_rows(report: Report, pen: _Pen) -> list[RenderableType]:
    """Return a line per phase, longest first, the smallest together in one."""
    parts = sorted(view.phases(report), key=lambda part: -part.share)
    shown = parts if len(parts) <= _ROWS else parts[: _ROWS - 1]
    rows = [(view.phase_label(part.phase), _COLOURS.get(part.phase, "bright_black"), part) for part in shown]
    rest = parts[len(shown) :]
    if rest:
        together = PhaseShare(
            phase="", seconds=sum(p.seconds for p in rest), share=sum(p.share for p in rest)
        )
        rows.append((f"{len(rest)} others", "bright_black", together))
    texts = [
        (pen.fit(label, 20), view.share(part.share), pen.fit(view.duration(part.seconds), 14))
        for label, _, part in rows
    ]
    wide = [max(cell_len(text[column]) for text in texts) for column in range(3)]
    room = max(4, pen.width - sum(wide) - 6)
    lines: list[RenderableType] = []
    for (label, share, time), (_, colour, part) in zip(texts, rows, strict=True):
        text = pen.say(f"  {set_cell_size(label, wide[0])} ")
        text.append_text(pen.say(f"{share:>{wide[1]}} ", "bold"))
        text.append_text(pen.say(f"{time:>{wide[2]}} ", "dim"))
        lines.append(text.append(_bar(part.share, room, pen), style=colour))
    return lines


def _bar(share: float, room: int, pen: _Pen) -> str:
    """Return a bar on a scale where ``room`` columns are the whole step."""
    cells = min(1.0, max(0.0, share)) * room
    if pen.ascii:
        return "#" * round(cells) or "."
    return "\u2588" * int(cells) + ("\u258c" if cells % 1 >= 0.5 else "") or "\u258f"


def _mitigations(report: Report, pen: _Pen) -> list[RenderableType]:
    """Return the three best, those that save time per step before those that save steps."""
    per_step = [advice for advice in report.mitigations if not view.fewer_steps(advice)]
    listed = per_step or list(report.mitigations)
    hidden = [f"{len(listed) - _TOP} more"] if len(listed) > _TOP else []
    if per_step and len(per_step) < len(report.mitigations):
        hidden.append(f"{len(report.mitigations) - len(per_step)} to need fewer steps")
    heading = "What would help" + (f" ({' and '.join(hidden)} in the report)" if hidden else "")
    parts: list[RenderableType] = [pen.say(pen.fit(heading, pen.width), "underline")]
    for rank, advice in enumerate(listed[:_TOP], 1):
        parts += _mitigation(rank, advice, pen)
    return parts


def _mitigation(rank: int, advice: Advice, pen: _Pen) -> list[RenderableType]:
    """Return title and gain on one line; basis, effort and risk on the next."""
    gain = view.gain(advice)
    gain = "gain unknown" if gain == "unknown" else gain
    title = pen.fit(line(advice.title), max(8, pen.width - len(gain) - 4))
    left = Text(f"{rank} ").append_text(pen.say(title, "bold"))
    found = view.whole(advice.speedup)
    basis = trials.basis(advice)
    if found is not None and advice.basis != "unknown" and view.spread(found):
        basis += f" {view.spread(found)}"
    risk = line(advice.risk[0], 160) if advice.risk else "none known"
    effort = view.EFFORTS.get(advice.effort, line(advice.effort, 20))
    detail = pen.fit(f"{basis}; effort: {effort}; risk: {risk}", pen.width - 2)
    return [pen.ends(left, pen.say(gain, "bold green")), Text("  ").append_text(pen.say(detail, "dim"))]


def _footer(report: Report, pen: _Pen) -> list[RenderableType]:
    """Return one line on what was not measured and one on what measuring cost."""
    parts: list[RenderableType] = []
    if report.not_evaluated:
        missing = ", ".join(line(entry.what, 40) for entry in report.not_evaluated[:20])
        text = f"Not measured ({len(report.not_evaluated)}): {missing}"
        parts.append(pen.say(pen.fit(text, pen.width), "dim"))
    cost = view.overhead(report) or "not measured"
    parts.append(pen.say(pen.fit(f"Cost of measuring: {cost}", pen.width), "dim"))
    return parts
