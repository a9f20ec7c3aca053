"""Time against quality: where each run lies, and the sides that none beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .. import units
from ..model.comparison import Comparison, Side

_WIDE, _HIGH = 640, 320  # of the picture, without what stands around it
_LEFT, _TOP, _RIGHT, _BOTTOM = 72, 16, 28, 52
_MARGIN = 0.12  # of the range of values, left free on both sides
_FEWEST = 3  # runs: two points are read better from two numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """A side (with its letter) or one of its runs (without), in the coordinates of the picture."""

    x: float
    y: float
    letter: str
    label: str
    best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Time against quality.

    Attributes:
        width: Of the picture, with its axes.
        height: Likewise.
        left: Where the plane begins.
        right: Where it ends.
        top: Where it begins.
        bottom: Where it ends.
        runs: Small dots.
        sides: Large dots with a letter.
        front: The line through the sides that none beats in both, as an SVG path; "" where there is none.
        x_ticks: (place, label).
        y_ticks: (place, label).
        better: Which way is better, in words.
    """

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    runs: tuple[Dot, ...]
    sides: tuple[Dot, ...]
    front: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    better: str


@dataclass(frozen=True, slots=True)
class _Axis:
    """Maps values to places."""

    low: float
    high: float
    begin: float
    end: float

    def place(self, value: float) -> float:
        """Return where ``value`` lies."""
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Return round values, three to six of them."""
        rough = (self.high - self.low) / 6
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * part for part in (1, 2, 5, 10) if size * part >= rough)
        first = math.ceil(self.low / step)
        return [step * at for at in range(first, first + 7) if step * at <= self.high]


def picture(comparison: Comparison) -> Picture | None:
    """Return the picture, None with fewer than three runs that logged the metric."""
    points = [point for side in comparison.sides for point in side.points]
    if len(points) < _FEWEST:
        return None
    x_axis = _axis([time for time, _ in points], _LEFT, _LEFT + _WIDE)
    y_axis = _axis([value for _, value in points], _TOP + _HIGH, _TOP)
    sides = [_side(side, comparison, x_axis, y_axis) for side in comparison.sides if side.points]
    return Picture(
        width=_LEFT + _WIDE + _RIGHT,
        height=_TOP + _HIGH + _BOTTOM,
        left=_LEFT,
        right=_LEFT + _WIDE,
        top=_TOP,
        bottom=_TOP + _HIGH,
        runs=tuple(
            Dot(
                x=x_axis.place(time),
                y=y_axis.place(value),
                letter="",
                label=_label(side, time, value),
                best=False,
            )
            for side in comparison.sides
            if len(side.points) > 1
            for time, value in side.points
        ),
        sides=tuple(sides),
        front=_front(sides),
        x_ticks=tuple((x_axis.place(at), units.seconds(at)) for at in x_axis.ticks()),
        y_ticks=tuple((y_axis.place(at), f"{at:.4g}") for at in y_axis.ticks()),
        better=_better(comparison),
    )


def _axis(values: Sequence[float], begin: float, end: float) -> _Axis:
    """Return an axis that holds ``values`` with room around them."""
    low, high = min(values), max(values)
    room = (high - low) * _MARGIN or abs(high) * _MARGIN or 1.0
    return _Axis(low - room, high + room, begin, end)


def _side(side: Side, comparison: Comparison, x_axis: _Axis, y_axis: _Axis) -> Dot:
    """Return the mean of a side's runs."""
    time = sum(time for time, _ in side.points) / len(side.points)
    value = sum(value for _, value in side.points) / len(side.points)
    return Dot(
        x=x_axis.place(time),
        y=y_axis.place(value),
        letter=side.letter,
        label=_label(side, time, value),
        best=side.letter in comparison.pareto,
    )


def _label(side: Side, time: float, value: float) -> str:
    """Return what a dot stands for, in words."""
    return f"{side.letter}: {units.seconds(time)}, {value:.4g}"


def _front(sides: Sequence[Dot]) -> str:
    """Return the path through the best sides, by time."""
    best = sorted((dot.x, dot.y) for dot in sides if dot.best)
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in best) if len(best) > 1 else ""


def _better(comparison: Comparison) -> str:
    """Return which way is better."""
    if comparison.higher_is_better is None:
        return "Which way quality is better was not said, so no side is called best."
    letters = ", ".join(comparison.pareto)
    way = "up" if comparison.higher_is_better else "down"
    return f"Better is to the left and {way}. No other side beats {letters} in both."
