"""What each section of ``report.html`` shows: the report as words, bars and shapes, nothing of HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .. import units
from ..model.finding import Evidence, Finding
from ..model.report import PHASES, Report
from . import picture, view
from .text import Limits, line, links, spans

_FINDING_STATES = ("fires", "unknown", "error", "silent")

Section = dict[str, Any]


def verdict(report: Report, limits: Limits) -> Section:
    """Return the head of the report: the verdict and what it costs."""
    found = report.verdict
    return {
        "state": found.state if found.state in view.STATES else "insufficient",
        "label": view.label(found),
        "family": line(found.family or "", 40),
        "result": line(found.result, 60),
        "headline": spans(found.headline, limits.text),
        "reasons": [spans(reason, limits.text) for reason in found.reasons[: limits.rows]],
        "confidence": line(found.confidence, 20),
        "facts": _facts(report),
        "basis": view.share_basis(found) if view.lost_share(found) is not None else "",
    }


def _facts(report: Report) -> list[tuple[str, str]]:
    """Return the verdict's numbers as (value, what it is)."""
    found = report.verdict
    facts: list[tuple[str, str]] = []
    lost = view.lost_per_day(report)
    if lost is not None:
        facts.append((view.share(found.share), "of every step is lost to it"))
        facts.append((lost[0], "lost in 24 hours of training"))
        if lost[1] is not None:
            facts.append((lost[1], "lost per day, at the price given"))
    elif view.lost_share(found) is not None:
        facts.append((view.share(found.share), "of this run went into it, once"))
    ceiling = view.whole(found.ceiling_speedup)
    if ceiling is not None and found.state == "bottleneck":
        between = view.spread(ceiling)
        facts.append(
            (view.ratio(ceiling.likely), "at most, with it gone" + (f" ({between})" if between else ""))
        )
    median = view.median_step(report)
    if median is not None and report.step is not None:
        facts.append((view.duration(median), f"per step, median of {report.step.count}"))
    return facts


def time(report: Report, limits: Limits) -> Section | None:
    """Return where a step's time goes, or None where no step was seen."""
    step = report.step
    if step is None:
        return None
    parts = view.phases(report)
    return {
        "definition": spans(step.definition, limits.text),
        "count": step.count,
        "seen": step.seen,
        "excluded": [
            (line(key, 80), view.scalar("", value)) for key, value in list(step.excluded.items())[:12]
        ],
        "statistics": [
            (line(key, 20), view.duration(value)) for key, value in list(step.seconds.items())[:12]
        ],
        "segments": picture.segments(parts),
        "rows": [
            {
                "phase": part.phase if part.phase in PHASES else "other",
                "label": view.phase_label(part.phase),
                "meaning": view.PHASE_MEANINGS.get(part.phase, ""),
                "share": view.share(part.share),
                "time": view.duration(part.seconds),
            }
            for part in sorted(parts, key=lambda part: -part.share)[: limits.rows]
        ],
        "made_of": [_made_of(part, limits) for part in parts if part.made_of],
        "series": picture.series(report.pictures.get("steps"), limits, view.median_step(report)),
    }


def _made_of(part: Any, limits: Limits) -> Section:
    """Return what sampled stacks say a phase consists of."""
    rows = [(text, share) for text, share in part.made_of[:12] if view.finite(share) is not None]
    widths = picture.bars([share for _, share in rows])
    return {
        "label": view.phase_label(part.phase),
        "rows": [
            {"text": line(text, limits.title), "share": view.share(share), "width": width}
            for (text, share), width in zip(rows, widths, strict=True)
        ],
    }


def account(report: Report, limits: Limits) -> list[Section]:
    """Return where the run's whole wall time went."""
    rows = [row for row in _mappings(report.run.get("account")) if view.finite(row.get("share")) is not None]
    return [
        {
            "name": line(row.get("name", ""), limits.title),
            "time": view.duration(row.get("seconds")),
            "share": view.share(row["share"]),
            "width": min(100.0, max(0.0, 100 * float(row["share"]))),
            "note": spans(row.get("note") or "", limits.title),
        }
        for row in rows[: limits.rows]
    ]


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings in a list the caller filled."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, (list, tuple)) else []


def findings(report: Report, limits: Limits) -> Section:
    """Return the findings by state, those that fire with their evidence."""
    by_state = {name: [entry for entry in report.findings if entry.state == name] for name in _FINDING_STATES}
    return {
        "fires": [_finding(entry, limits) for entry in by_state["fires"][: limits.rows]],
        "fires_left_out": max(0, len(by_state["fires"]) - limits.rows),
        "others": [
            _finding(entry, limits) for name in _FINDING_STATES[1:] for entry in by_state[name][: limits.rows]
        ],
        "counts": {name: len(entries) for name, entries in by_state.items()},
    }


def _finding(entry: Finding, limits: Limits) -> Section:
    """Return one finding."""
    return {
        "rule": line(entry.rule, 80),
        "bottleneck": view.bottleneck(entry.bottleneck),
        "state": entry.state,
        "title": spans(entry.title, limits.title),
        "severity": line(entry.severity or "", 20),
        "share": view.share(entry.share) if view.finite(entry.share) is not None else "",
        "basis": view.BASES.get(entry.share_basis, ("", line(entry.share_basis, 80)))[1],
        "text": spans(entry.text, limits.text),
        "evidence": [_evidence(each) for each in entry.evidence[: limits.evidence]],
        "evidence_left_out": max(0, len(entry.evidence) - limits.evidence),
        "missing": [line(each, 80) for each in entry.missing[: limits.evidence]],
        "false_positives": [spans(each, limits.title) for each in entry.false_positives[:6]],
        "sources": [links(line(source, limits.title)) for source in entry.sources[: limits.evidence]],
        "error": line(entry.error or "", limits.title),
    }


def _evidence(entry: Evidence) -> Section:
    """Return one measured value with its interval, samples and source."""
    low_high = (
        entry.interval
        if entry.interval and all(view.finite(end) is not None for end in entry.interval)
        else None
    )
    return {
        "id": line(entry.id, 80),
        "meaning": line(entry.meaning, 200),
        "value": units.show(entry.value, entry.unit),
        "interval": " to ".join(units.show(end, entry.unit) for end in low_high) if low_high else "",
        "samples": view.scalar("samples", entry.samples),
        "given_by": line(entry.given_by, 60),
    }


def input_parts(report: Report, limits: Limits) -> list[Section]:
    """Return the parts of making a batch."""
    rows = [
        row for row in _mappings(report.pictures.get("input")) if (view.finite(row.get("seconds")) or 0) > 0
    ]
    widths = picture.bars([float(row["seconds"]) for row in rows])
    return [
        {
            "name": line(row.get("name", ""), limits.title),
            "where": line(row.get("where") or "", limits.title),
            "time": view.duration(row["seconds"]),
            "width": width,
        }
        for row, width in list(zip(rows, widths, strict=True))[: limits.rows]
    ]


def stacks(report: Report, limits: Limits) -> Section:
    """Return hot lines of trainer and workers, and the flame graph."""
    found = report.pictures.get("stacks")
    found = found if isinstance(found, Mapping) else {}
    names = (("trainer", "Training process"), ("workers", "Loader workers"))
    lists = [(label, _hot(found.get(key), limits)) for key, label in names]
    return {
        "lists": [(label, rows) for label, rows in lists if rows],
        "flame": picture.flame(found.get("flame"), limits),
    }


def _hot(value: Any, limits: Limits) -> list[Section]:
    """Return hot lines with their share of the samples."""
    rows = [row for row in _mappings(value) if view.finite(row.get("share")) is not None][
        : min(15, limits.rows)
    ]
    return [
        {
            "text": line(row.get("text", ""), limits.title),
            "where": line(row.get("where") or "", limits.title),
            "share": view.share(row["share"]),
            "width": min(100.0, max(0.5, 100 * float(row["share"]))),
        }
        for row in rows
    ]


def efficiency(report: Report, limits: Limits) -> list[Section]:
    """Return the efficiency metrics with what each is blind to."""
    rows = []
    for name, entry in list(report.efficiency.items())[: limits.rows]:
        row = entry if isinstance(entry, Mapping) else {"value": entry}
        unit = row.get("unit")
        rows.append(
            {
                "name": view.name_of(str(name)),
                "value": view.scalar(str(name), row.get("value"), unit if isinstance(unit, str) else None),
                "note": spans(row.get("note") or "", limits.title),
                "blind_to": spans(row.get("blind_to") or "", limits.title),
            }
        )
    return rows


def table(rows: Sequence[Mapping[str, Any]], limits: Limits, most: int = 7) -> Section | None:
    """Return mappings as one table: a column for each key, in the order they first come."""
    keys: list[str] = []
    shown = [row for row in rows if isinstance(row, Mapping)][: limits.rows]
    for row in shown:
        keys += [key for key in row if key not in keys]
    if not keys:
        return None
    return {
        "columns": [view.name_of(str(key)) for key in keys[:most]],
        "rows": [
            [view.scalar(str(key), row.get(key)) if key in row else "" for key in keys[:most]]
            for row in shown
        ],
        "left_out": len(rows) - len(shown),
    }


def measurements(report: Report, limits: Limits) -> list[Section]:
    """Return every measurement that has a value, by id."""
    rows = []
    for name, entry in list(report.measurements.items())[: 4 * limits.rows]:
        row = entry if isinstance(entry, Mapping) else {"value": entry}
        unit = row.get("unit")
        rows.append(
            {
                "id": line(name, 80),
                "value": view.scalar(str(name), row.get("value"), unit if isinstance(unit, str) else None),
                "samples": line(row.get("samples", ""), 20),
                "given_by": line(row.get("given_by", ""), 60),
            }
        )
    return rows


def pairs(values: Mapping[str, Any], limits: Limits, without: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return what a mapping knows as (name, value in words)."""
    kept = [(key, value) for key, value in values.items() if key not in without and value is not None]
    return [(view.name_of(str(key)), view.scalar(str(key), value)) for key, value in kept[: limits.rows]]


def unmeasured(report: Report, limits: Limits) -> Section:
    """Return what was not measured or not judged, and why; equal reasons together."""
    by_reason: dict[str, list[str]] = {}
    for entry in report.not_evaluated[: 2 * limits.rows]:
        by_reason.setdefault(line(entry.reason, limits.text), []).append(line(entry.what, limits.title))
    return {
        "rows": [{"reason": spans(reason, limits.text), "what": what} for reason, what in by_reason.items()],
        "left_out": max(0, len(report.not_evaluated) - 2 * limits.rows),
    }
