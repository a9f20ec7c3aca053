"""The step with one resource taken away: as bars, and as one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import units
from ..model.report import Report
from . import view
from .text import Limits, line

LABELS: Mapping[str, str] = {
    "input": "input pipeline",
    "transfer": "copies to the device",
    "logging": "logging",
    "checkpoint": "checkpoints",
    "evaluation": "evaluation",
    "gc": "garbage collection",
    "sync": "waits for the device",
    "collectives": "exchange of gradients",
    "anomaly": "anomaly detection",
    "loader_alone": "loader alone",
}
_STATES: Mapping[str, str] = {
    "refused": "can't be taken away in this script",
    "invalid": "the steps did other work without it",
    "skipped": "not tried",
    "bracket": "slowed down instead",
}
_LONGEST = 110.0  # percent of the step as it is: a step that became longer ends here


def section(report: Report, limits: Limits) -> dict[str, Any] | None:
    """Return what the page shows, None where no experiment was made."""
    rows = [row for row in report.ceilings if isinstance(row, Mapping)][: limits.rows]
    if not rows:
        return None
    bars = [bar for row in rows if (bar := _bar(row)) is not None]
    return {
        "bars": bars,
        "notes": [note for row in rows if (note := _note(row, limits))],
        "scale": 100 / _LONGEST * 100,
    }


def sentence(report: Report) -> str:
    """Return the largest three ceilings in one line: "Without logging 5.1 ms, input pipeline 26 ms", or ""."""
    rows = [row for row in report.ceilings if isinstance(row, Mapping) and _figures(row) is not None]
    parts = []
    for row in rows[:3]:
        _, without, share = _figures(row) or (0.0, 0.0, 0.0)
        parts.append(f"{_label(row)} {view.duration(without)} ({_change(share)})")
    return f"A step without: {', '.join(parts)}" if parts else ""


def _figures(row: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Return step as is, without, and share of a row that was measured."""
    if row.get("state") != "measured":
        return None
    step, without, share = (view.finite(row.get(key)) for key in ("step_s", "without_s", "share"))
    if step is None or without is None or share is None or step <= 0 or without < 0:
        return None
    return step, without, share


def _bar(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return one resource as a bar on the scale of the step as it is, None without figures."""
    figures = _figures(row)
    if figures is None:
        return None
    step, without, share = figures
    interval = _interval(row)
    low, high = interval or (share, share)
    return {
        "label": f"without {_label(row)}",
        "width": _place(1 - share),
        "from": _place(1 - high),
        "span": max(0.4, _place(1 - low) - _place(1 - high)),
        "time": view.duration(without),
        "now": view.duration(step),
        "change": _change(share),
        "interval": f"{units.fraction(low)} to {units.fraction(high)}" if interval else "",
        "pairs": view.scalar("pairs", row.get("pairs")),
    }


def _interval(row: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return the interval of the share where it has two ends."""
    ends = row.get("interval")
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        return None
    low, high = (view.finite(end) for end in ends)
    return None if low is None or high is None else (min(low, high), max(low, high))


def _place(part: float) -> float:
    """Return a part of the step as it is on the bar, 0-100."""
    return min(100.0, max(0.0, 100 * part / (_LONGEST / 100)))


def _change(share: float) -> str:
    """Return what became of the step: "81 % shorter"."""
    if abs(share) < 0.005:
        return "unchanged"
    return f"{units.fraction(abs(share))} {'shorter' if share > 0 else 'longer'}"


def _note(row: Mapping[str, Any], limits: Limits) -> dict[str, str] | None:
    """Return what is to say of a row that has no bar."""
    if _figures(row) is not None:
        return None
    state, alone = line(row.get("state") or "", 40), view.finite(row.get("without_s"))
    share, reason = view.finite(row.get("share")), line(row.get("reason") or "", limits.text)
    if row.get("resource") == "loader_alone" and state == "measured" and alone is not None:
        return {"label": "loader alone", "text": f"{view.duration(alone)} per batch at its best"}
    text = _STATES.get(state, state)
    if state == "bracket" and share is not None:
        return {"label": _label(row), "text": f"at most {view.share(share)} of a step: {reason or text}"}
    return {"label": _label(row), "text": f"{text}: {reason}" if reason else text}


def _label(row: Mapping[str, Any]) -> str:
    """Return the resource's name for a reader."""
    name = line(row.get("resource") or "", 60)
    return LABELS.get(name, name or "something")
