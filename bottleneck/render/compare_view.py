"""The words of a comparison, shared by its page, the terminal and Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from .. import units
from ..model.comparison import (
    CeilingChange,
    Comparison,
    Contrast,
    Difference,
    FindingChange,
    MetricChange,
    PhaseChange,
    Side,
)
from ..model.finding import Interval
from . import ceilings, view
from .text import line

STANDINGS = {"fixed": "Fixed", "new": "New", "still": "Still there", "unknown": "Can't be told"}
SORTS = {
    "workload": "Work",
    "settings": "Settings",
    "command": "Command",
    "hardware": "Machine",
    "software": "Software",
    "variables": "Variables",
}
# Lower is better: a change of these has a direction. What a model holds or computes has none.
_LOWER = {"training_time", "electricity", "carbon", "cost"}
_HIGHER = {"throughput", "utilisation"}
_NAMES = {"flops": "FLOPs", "operand_bytes": "Operand bytes"}
_NAME = 60
_WHOLE = 10_000  # counts from here on are shown without what follows the point


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: what, before, after, the change in words, and whether that is good.

    Attributes:
        name: What.
        before: The first side's.
        after: The other's.
        change: In words, "" where there is nothing to say.
        tone: "good", "bad" or "".
        key: Id behind the name.
        note: What else there is to say.
    """

    name: str
    before: str
    after: str
    change: str = ""
    tone: str = ""
    key: str = ""
    note: str = ""


def signed(seconds: float) -> str:
    """Return a difference in seconds with its sign: "+12 ms"."""
    return f"{'+' if seconds > 0 else '-' if seconds < 0 else ''}{units.seconds(abs(seconds))}"


def percent(ratio: float) -> str:
    """Return what a ratio changes, with its sign: 0.8 is "-20 %"; large ones as a multiple."""
    if ratio >= 10:
        return f"{ratio:.0f}×"
    if abs(ratio - 1) < 0.0005:
        return "same"
    return f"{'+' if ratio > 1 else '-'}{units.fraction(abs(ratio - 1))}"


def interval(found: Interval) -> str:
    """Return both ends of a difference in seconds."""
    return f"{signed(found.low)} to {signed(found.high)}"


def phase(row: PhaseChange) -> Row:
    """Return one phase; its change has a tone where the interval excludes zero."""
    change, sure = row.difference, row.known and (row.difference.low > 0 or row.difference.high < 0)
    return Row(
        name=view.phase_label(row.phase),
        before=units.seconds(row.before_s),
        after=units.seconds(row.after_s),
        change=signed(change.likely),
        tone=("bad" if change.likely > 0 else "good") if sure else "",
        key=row.phase,
        note=interval(change) if row.known and change.low != change.high else "",
    )


def ceiling(row: CeilingChange) -> Row:
    """Return what one resource costs."""
    cells = [
        _share(share, ends)
        for share, ends in ((row.before, row.before_interval), (row.after, row.after_interval))
    ]
    name = line(row.resource, _NAME)
    return Row(name=ceilings.LABELS.get(name, name), before=cells[0], after=cells[1])


def _share(share: float | None, ends: tuple[float, float] | None) -> str:
    """Return a share of the step with its interval."""
    if share is None:
        return "not measured"
    text = percentage(share)
    return text if ends is None else f"{text} ({percentage(ends[0])} to {percentage(ends[1])})"


def percentage(value: float) -> str:
    """Return a share that may be negative."""
    return f"{'-' if value < 0 else ''}{units.fraction(abs(value))}"


def metric(row: MetricChange) -> Row:
    """Return one metric of efficiency."""
    direction = 1 if row.name in _LOWER else -1 if row.name in _HIGHER else 0
    moved = 0 if row.ratio is None or abs(row.ratio - 1) < 0.0005 else 1 if row.ratio > 1 else -1
    name, unit = _NAMES.get(row.name) or view.name_of(line(row.name, _NAME)), _unit(row)
    return Row(
        name=f"{name}, {unit}" if unit else name,
        before=_metric(row, row.before),
        after=_metric(row, row.after),
        change="" if row.ratio is None else percent(row.ratio),
        tone={1: "bad", -1: "good"}.get(direction * moved, ""),
        key=row.name,
        note=line(row.blind_to, 300),
    )


def _unit(row: MetricChange) -> str:
    """Return what stands behind a metric's name; times and sizes carry their own unit."""
    return {"s per step": "per step", "bytes per step": "per step"}.get(row.unit, line(row.unit, 40))


def _metric(row: MetricChange, value: float | None) -> str:
    """Return the value of a metric."""
    if value is None:
        return "–"
    kind = {"s per step": "s", "bytes per step": "bytes", "of the probed rate": "frac"}.get(row.unit, "count")
    whole = kind == "count" and abs(value) >= _WHOLE
    return view.scalar(row.name, float(round(value)) if whole else value, kind)


def finding(row: FindingChange) -> Row:
    """Return what became of one finding."""
    return Row(
        name=line(row.title, 200),
        before="" if row.before is None else units.fraction(row.before),
        after="" if row.after is None else units.fraction(row.after),
        change=STANDINGS[row.standing],
        tone={"fixed": "good", "new": "bad"}.get(row.standing, ""),
        key=line(row.rule, _NAME),
        note=line(row.note, 300),
    )


def difference(row: Difference) -> Row:
    """Return one thing that differs."""
    return Row(
        name=line(row.name, 120),
        before=line(row.before, 200),
        after=line(row.after, 200),
        change=SORTS[row.sort],
        note=line(row.why, 200),
    )


def tone(contrast: Contrast) -> str:
    """Return "good", "bad", or "" where the sides are not told apart."""
    if not contrast.speedup.significant:
        return ""
    return "good" if contrast.speedup.ratio.likely > 1 else "bad"


def factor(value: float) -> str:
    """Return a ratio of times in three digits."""
    if value >= 1000 or value < 0.001:
        return "over 1000" if value >= 1000 else "under 0.001"
    return f"{value:.3g}"


def delta(contrast: Contrast) -> str:
    """Return delta in words."""
    value = contrast.delta.value
    if value is None:
        return "unknown"
    return f"{'+' if value > 0 else '-' if value < 0 else ''}{units.fraction(abs(value))}"


def side_name(side: Side, limit: int = _NAME) -> str:
    """Return what the user called a side, its end where it is long."""
    name = line(side.name, 400)
    return name if len(name) <= limit else "\u2026" + name[-(limit - 1) :]


def side_facts(side: Side, comparison: Comparison) -> list[tuple[str, str]]:
    """Return what is known of one side as (name, value)."""
    facts = [
        ("runs", str(len(side.runs))),
        ("mean step", units.seconds(side.step_s)),
        ("median step", "" if side.median_s is None else units.seconds(side.median_s)),
        ("timed steps", units.count(side.steps)),
        ("samples per second", "" if side.per_second is None else units.count(side.per_second)),
        ("whole run", "" if side.run_s is None else units.seconds(side.run_s)),
    ]
    if comparison.metric is not None:
        known = side.quality is not None
        facts.append(
            (line(comparison.metric, 40), f"{side.quality.value:.4g}" if side.quality and known else "")
        )
    return facts


def time_label(comparison: Comparison) -> str:
    """Return what the time axis of the picture counts."""
    return {"run": "seconds of the whole run", "step": "seconds per step", "sample": "seconds per sample"}[
        comparison.time_basis
    ]
