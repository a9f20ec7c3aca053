"""Geometry of the report's pictures: where each bar, area and frame lies. Drawing is the template's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..model.finding import Interval
from ..model.report import PHASES, PhaseShare
from . import view
from .text import Limits, line

# Units of the step series' own coordinates; it is stretched to the page afterwards.
_WIDE, _HIGH = 1200, 400
# Steps above this multiple of the 95th percentile would press all others onto the axis; they are cut.
_TALL = 1.6
# A step of thirty years is a broken clock; it is left out.
_LONGEST_S = 1e9
# Frames narrower than this share of the flame graph can't be seen or hit at 1000 pixels.
_THINNEST = 0.004
_DEEPEST_FRAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of the stacked bar: ``x`` and ``width`` in percent of it."""

    phase: str
    label: str
    x: float
    width: float
    share: str
    time: str


def segments(parts: Sequence[PhaseShare]) -> list[Segment]:
    """Return the stacked bar of a step; widths sum to 100 whatever the shares sum to."""
    total = sum(part.share for part in parts)
    placed: list[Segment] = []
    x = 0.0
    for part in parts:
        width = 100 * part.share / total
        label, share, time = view.phase_label(part.phase), view.share(part.share), view.duration(part.seconds)
        name = part.phase if part.phase in PHASES else "other"
        placed.append(Segment(phase=name, label=label, x=x, width=width, share=share, time=time))
        x += width
    return placed


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """One phase of the step series as an SVG path."""

    phase: str
    label: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Step time over the run.

    Attributes:
        areas: One path per phase, stacked; one path where phases are not known.
        width: Width of the paths' coordinates.
        height: Their height.
        ticks: Grid lines as (distance from the top in percent, label).
        median: Distance of the median from the top in percent.
        median_label: The median in words.
        first: Index of the first step shown.
        last: Index of the last.
        points: How many are drawn.
        taller: How many are taller than the picture.
        slowest: The tallest in words.
    """

    areas: tuple[Area, ...]
    width: int
    height: int
    ticks: tuple[tuple[float, str], ...]
    median: float
    median_label: str
    first: str
    last: str
    points: int
    taller: int
    slowest: str


def series(steps: Any, limits: Limits, counted_s: float | None = None) -> Series | None:
    """Return the picture of ``steps`` ({index, seconds, phases?}), or None with fewer than two.

    ``counted_s`` is the median of the steps that count, where that is known: not all that are drawn do.
    """
    rows = _steps(steps, limits.points)
    if len(rows) < 2:
        return None
    times = sorted(seconds for _, seconds, _ in rows)
    top = _ceiling(min(times[-1] * 1.05, _TALL * times[min(len(times) - 1, round(0.95 * len(times)))]))
    median = counted_s or times[len(times) // 2]
    return Series(
        areas=tuple(_areas(rows, top)),
        width=_WIDE,
        height=_HIGH,
        ticks=tuple(
            (100 * (1 - part / 4), view.duration(top * part / 4) if part else "0") for part in range(5)
        ),
        median=100 * (1 - min(1.0, median / top)),
        median_label=view.duration(median),
        first=rows[0][0],
        last=rows[-1][0],
        points=len(rows),
        taller=sum(seconds > top for seconds in times),
        slowest=view.duration(times[-1]),
    )


_Step = tuple[str, float, Mapping[str, float]]


def _steps(steps: Any, most: int) -> list[_Step]:
    """Return the usable entries as (index, seconds, seconds by phase): every n-th where there are many."""
    rows: list[_Step] = []
    usable = [row for row in _rows(steps) if 0.0 < (view.finite(row.get("seconds")) or 0.0) < _LONGEST_S]
    for row in usable[:: max(1, math.ceil(len(usable) / most))]:
        parts = row.get("phases")
        found = parts if isinstance(parts, Mapping) else {}
        times = {name: min(_LONGEST_S, max(0.0, view.finite(found.get(name)) or 0.0)) for name in PHASES}
        rows.append((line(row.get("index", len(rows)), 20), float(row["seconds"]), times))
    return rows


def _rows(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings in ``value``, which the caller filled."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, (list, tuple)) else []


def _ceiling(value: float) -> float:
    """Return the next of 1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8 times a power of ten: quarters of it read well."""
    power = 10.0 ** math.floor(math.log10(max(value, 1e-9)))
    return next(
        (power * step for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8) if power * step >= value), power * 10
    )


def _areas(rows: Sequence[_Step], top: float) -> Iterable[Area]:
    """Yield the areas from the axis upwards; what the phases do not fill is ``other``."""
    known = any(sum(parts.values()) > 0 for _, _, parts in rows)
    base = [0.0] * len(rows)
    for name in PHASES if known else ():
        ends = [low + parts[name] for low, (_, _, parts) in zip(base, rows, strict=True)]
        if name == "other":
            ends = [max(low, seconds) for low, (_, seconds, _) in zip(base, rows, strict=True)]
        if ends != base:
            yield Area(phase=name, label=view.phase_label(name), path=_path(base, ends, top))
        base = ends
    if not known:
        yield Area(phase="plain", label="Step", path=_path(base, [seconds for _, seconds, _ in rows], top))


def _path(base: Sequence[float], ends: Sequence[float], top: float) -> str:
    """Return the outline between two staircases, one tread per step."""
    wide = _WIDE / len(base)

    def treads(heights: Sequence[float], backwards: bool) -> str:
        order = range(len(heights) - 1, -1, -1) if backwards else range(len(heights))
        parts = []
        for index in order:
            y = round(_HIGH * (1 - min(1.0, heights[index] / top)))
            parts.append(f"V{y}H{round(wide * (index if backwards else index + 1), 1):g}")
        return "".join(parts)

    return f"M0 {_HIGH}{treads(ends, False)}{treads(base, True)}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A rectangle of the flame graph: ``x`` and ``width`` in percent, ``depth`` in rows from the top."""

    name: str
    x: float
    width: float
    depth: int
    share: str
    tint: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flame:
    """The flame graph, root on top: frames in reading order, rows, and how many frames are left out."""

    frames: tuple[Frame, ...]
    rows: int
    left_out: int


def flame(tree: Any, limits: Limits) -> Flame | None:
    """Return the layout of ``tree`` (nested {name, value, children}), or None where it holds nothing."""
    if not isinstance(tree, Mapping) or (view.finite(tree.get("value")) or 0.0) <= 0.0:
        return None
    total = float(tree["value"])
    frames: list[Frame] = []
    left_out = 0
    waiting: list[tuple[Mapping[str, Any], float, float, int]] = [(tree, 0.0, 1.0, 0)]
    while waiting:
        node, x, width, depth = waiting.pop(0)  # by rows, so that a limit cuts the deepest first
        if width < _THINNEST or depth >= _DEEPEST_FRAME or len(frames) >= limits.frames:
            left_out += 1
            continue
        frames.append(_frame(node, x, width, depth, limits))
        for child in _rows(node.get("children")):
            value = view.finite(child.get("value")) or 0.0
            part = min(max(0.0, value / total), max(0.0, 1.0 - x))
            waiting.append((child, x, part, depth + 1))
            x += part
    return Flame(frames=tuple(frames), rows=1 + max(frame.depth for frame in frames), left_out=left_out)


def _frame(node: Mapping[str, Any], x: float, width: float, depth: int, limits: Limits) -> Frame:
    """Return the rectangle of one node; its tint depends on its name alone, as in every flame graph."""
    name = line(node.get("name", "?"), min(120, limits.title))
    tint = sum(name.encode("utf-8", "replace")) % 5
    return Frame(name=name, x=100 * x, width=100 * width, depth=depth, share=view.share(width), tint=tint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A speedup on the scale all cards share, in percent of its width: range, likely value, limit."""

    low: float
    width: float
    likely: float
    limit: float | None


def gain_range(speedup: Interval, top: float, limit: float | None) -> Range:
    """Return ``speedup`` on a logarithmic scale from 1 to ``top``: equal ratios are equally long."""
    low, likely, high = (_place(value, top) for value in (speedup.low, speedup.likely, speedup.high))
    return Range(
        low=min(low, high),
        width=max(1.0, abs(high - low)),
        likely=likely,
        limit=None if limit is None else _place(limit, top),
    )


def _place(value: float, top: float) -> float:
    """Return where ``value`` lies on the logarithmic scale from 1 to ``top``, 0-100."""
    return 100 * min(1.0, max(0.0, math.log(value) / math.log(top))) if value > 0 else 0.0


def bars(values: Sequence[float]) -> list[float]:
    """Return ``values`` in percent of the largest; nothing is narrower than half a percent."""
    top = max(values, default=0.0)
    return [max(0.5, 100 * value / top) if top > 0 and value > 0 else 0.0 for value in values]
