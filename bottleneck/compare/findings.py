"""Findings fixed, new and still there; ceilings and metrics of efficiency before and after."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ..model.comparison import CeilingChange, FindingChange, MetricChange, Standing
from ..model.finding import Finding
from .facts import finite
from .sides import Group

_ORDER: Mapping[Standing, int] = {"fixed": 0, "new": 1, "still": 2, "unknown": 3}


def findings(before: Group, after: Group) -> tuple[FindingChange, ...]:
    """Return what became of every finding that either side has: fixed first, then by the share of a step."""
    titles = {
        entry.rule: entry.title
        for group in (after, before)
        for one in group.facts
        for entry in one.report.findings
        if entry.state == "fires"
    }
    rows = [_change(rule, title, before, after) for rule, title in titles.items()]
    return tuple(
        sorted(rows, key=lambda row: (_ORDER[row.standing], -max(row.before or 0, row.after or 0), row.rule))
    )


def _change(rule: str, title: str, before: Group, after: Group) -> FindingChange:
    """Return what became of the finding of one rule."""
    old, new = _found(before, rule), _found(after, rule)
    fires = [_fires(entries) for entries in (old, new)]
    standing: Standing = "unknown"
    if None not in fires:
        standing = "still" if all(fires) else "fixed" if fires[0] else "new" if fires[1] else "unknown"
    notes = []
    for group, entries, state in ((before, old, fires[0]), (after, new, fires[1])):
        count = sum(entry.state == "fires" for entry in entries)
        if state is None:
            notes.append(f"{group.letter}: {_why(entries)}")
        elif 0 < count < len(group.facts):
            notes.append(f"{group.letter}: in {count} of {len(group.facts)} runs")
    return FindingChange(
        rule=rule,
        title=title,
        standing=standing,
        before=_share(old),
        after=_share(new),
        note="; ".join(notes),
    )


def _found(group: Group, rule: str) -> list[Finding]:
    """Return what a rule says of each run of a side."""
    return [entry for one in group.facts for entry in one.report.findings if entry.rule == rule]


def _fires(entries: Sequence[Finding]) -> bool | None:
    """Return whether most runs that can tell have the finding; None where none can."""
    told = [entry.state == "fires" for entry in entries if entry.state in ("fires", "silent")]
    return 2 * sum(told) > len(told) if told else None


def _why(entries: Sequence[Finding]) -> str:
    """Return why a side can't tell."""
    missing = sorted({name for entry in entries for name in entry.missing})
    return f"not measured: {', '.join(missing[:4])}" if missing else "not judged"


def _share(entries: Sequence[Finding]) -> float | None:
    """Return the mean share of the step over the runs that have the finding."""
    shares = [entry.share for entry in entries if entry.state == "fires" and entry.share is not None]
    kept = [share for share in shares if math.isfinite(share)]
    return statistics.fmean(kept) if kept else None


def ceilings(before: Group, after: Group) -> tuple[CeilingChange, ...]:
    """Return what each resource costs on both sides, as experiments measured it."""
    sides = [_ceilings(group) for group in (before, after)]
    rows = []
    for resource in dict.fromkeys([*sides[0], *sides[1]]):
        (old, old_ends), (new, new_ends) = (side.get(resource, (None, None)) for side in sides)
        rows.append(
            CeilingChange(
                resource=resource, before=old, after=new, before_interval=old_ends, after_interval=new_ends
            )
        )
    return tuple(sorted(rows, key=lambda row: -max(row.before or 0.0, row.after or 0.0)))


_Ends = tuple[float, float] | None


def _ceilings(group: Group) -> dict[str, tuple[float | None, _Ends]]:
    """Return the mean share by resource; the interval of a single run's."""
    found: dict[str, list[tuple[float, _Ends]]] = {}
    for one in group.facts:
        for row in one.report.ceilings:
            share = finite(row.get("share"))
            if row.get("state") == "measured" and share is not None:
                found.setdefault(str(row.get("resource")), []).append((share, _ends(row)))
    return {
        name: (statistics.fmean(share for share, _ in rows), rows[0][1] if len(rows) == 1 else None)
        for name, rows in found.items()
    }


def _ends(row: Mapping[str, Any]) -> _Ends:
    """Return the interval of a ceiling's share, where it has both ends."""
    ends = row.get("interval")
    if not isinstance(ends, (list, tuple)) or len(ends) != 2:
        return None
    low, high = (finite(end) for end in ends)
    return None if low is None or high is None else (low, high)


def efficiency(before: Group, after: Group) -> tuple[MetricChange, ...]:
    """Return metrics of efficiency that either side has."""
    rows = []
    for name, entry in {**_panel(after), **_panel(before)}.items():
        old, new = (_mean(group, name) for group in (before, after))
        if old is None and new is None:
            continue
        rows.append(
            MetricChange(
                name=name,
                unit=str(entry.get("unit") or ""),
                before=old,
                after=new,
                ratio=new / old if old and new is not None else None,
                blind_to=str(entry.get("blind_to") or ""),
            )
        )
    return tuple(rows)


def _panel(group: Group) -> Mapping[str, Mapping[str, Any]]:
    """Return the metrics of the first run."""
    return {name: row for name, row in group.facts[0].report.efficiency.items() if isinstance(row, Mapping)}


def _mean(group: Group, name: str) -> float | None:
    """Return the mean of a metric over the runs that have it."""
    rows = [one.report.efficiency.get(name) for one in group.facts]
    values = [finite(row.get("value")) for row in rows if isinstance(row, Mapping)]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
