"""Many ranks as a picture: who was slower than the others, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..model.report import Report
from . import view
from .text import Limits, line

# Own time over the middle of the ranks, less one, from which a cell is darker; the first is noise on most machines.
_LEVELS = (0.05, 0.10, 0.25, 0.50)
_MOST_ROWS, _MOST_COLUMNS = 64, 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the heat map: label, and runs of equal cells as (x and width in percent, level 1-4)."""

    label: str
    runs: tuple[tuple[float, float, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """The heat map: rows from the first rank down, a sentence on the spread, and one that stands for the picture."""

    rows: tuple[Row, ...]
    summary: str
    words: str


def heat(report: Report, limits: Limits) -> Heat | None:
    """Return the heat map ranks by time, or None for fewer than two ranks."""
    found = report.pictures.get("ranks")
    if not isinstance(found, Mapping):
        return None
    picture = found.get("heat")
    entries = picture.get("rows") if isinstance(picture, Mapping) else None
    rows = [row for row in entries if isinstance(row, Mapping)] if isinstance(entries, (list, tuple)) else []
    drawn = tuple(_row(row) for row in rows[:_MOST_ROWS])
    if len(drawn) < 2:
        return None
    slow = [row.label for row in drawn if any(level >= 3 for _, _, level in row.runs)]
    said = (
        f"darkest: {', '.join(slow[:4])}{' and more' if len(slow) > 4 else ''}" if slow else "none stands out"
    )
    return Heat(rows=drawn, summary=line(_spread(found), limits.text), words=line(said, limits.text))


def _row(row: Mapping[str, Any]) -> Row:
    """Return one row, its neighbouring cells of one level joined."""
    cells = row.get("late")
    late = list(cells)[:_MOST_COLUMNS] if isinstance(cells, (list, tuple)) else []
    runs: list[tuple[float, float, int]] = []
    wide = 100 / max(1, len(late))
    for number, value in enumerate(late):
        amount = view.finite(value)
        level = sum(amount >= limit for limit in _LEVELS) if amount is not None else 0
        if not level:
            continue
        x = number * wide
        if runs and runs[-1][2] == level and abs(runs[-1][0] + runs[-1][1] - x) < 1e-6:
            runs[-1] = (runs[-1][0], runs[-1][1] + wide, level)
        else:
            runs.append((x, wide, level))
    first, last = (view.scalar("", row.get(key)) for key in ("first", "last"))
    return Row(label=line(first if first == last else f"{first}-{last}", 24), runs=tuple(runs))


def _spread(found: Mapping[str, Any]) -> str:
    """Return how far the ranks' own times lie apart, in words."""
    own = found.get("own_s")
    own = own if isinstance(own, Mapping) else {}
    seen, expected = (view.finite(found.get(key)) for key in ("seen", "expected"))
    count = (
        f"{seen:.0f} of {expected:.0f} ranks" if seen is not None and expected is not None else "The ranks"
    )
    return (
        f"{count}: without communication a step takes {view.duration(own.get('median'))} on the middle one, "
        f"{view.duration(own.get('min'))} on the fastest and {view.duration(own.get('max'))} on the slowest."
    )


def sentence(report: Report) -> str:
    """Return the ranks in one line for a terminal, "" for fewer than two."""
    found = report.pictures.get("ranks")
    if not isinstance(found, Mapping) or (view.finite(found.get("seen")) or 0) < 2:
        return ""
    own = found.get("own_s")
    own = own if isinstance(own, Mapping) else {}
    seen, expected = (view.scalar("", found.get(key)) for key in ("seen", "expected"))
    low, high = (view.duration(own.get(key)) for key in ("min", "max"))
    return f"Ranks: {seen} of {expected} seen; own time a step {low} to {high}"
