"""What would help, as ``report.html`` shows it: cards, their place in the taxonomy, what was rejected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..model.mitigation import Advice
from ..model.report import Report
from . import picture, trials, view
from .text import Limits, block, line, links, spans

Section = dict[str, Any]
COMPONENTS = (
    ("function", "Function", "the model"),
    ("data", "Data", "what it learns from"),
    ("optimization", "Optimization", "how it learns"),
)
ACTIONS = ("remove", "restrict", "reorder", "replace", "retrofit")
CATEGORIES = ("data", "model", "optimization", "budgeted", "system")


def cards(report: Report, limits: Limits) -> Section:
    """Return the cards, those that save time per step apart from those that save steps."""
    kinds = {
        "faster": [entry for entry in report.mitigations if not view.fewer_steps(entry)],
        "fewer": [entry for entry in report.mitigations if view.fewer_steps(entry)],
    }
    found: Section = {}
    for name, entries in kinds.items():
        shown = entries[: limits.cards]
        top = _scale(report, shown, name)
        found[name] = [_card(report, rank, entry, top, limits) for rank, entry in enumerate(shown, 1)]
        found[f"{name}_left_out"] = len(entries) - len(shown)
    found["rejected"] = [
        {"title": spans(entry.title, limits.title), "reason": spans(entry.reason, limits.text)}
        for entry in report.rejected[: limits.rows]
    ]
    found["rejected_left_out"] = max(0, len(report.rejected) - limits.rows)
    found["map"] = _taxonomy_map(report.mitigations, limits)
    return found


def _ceiling(report: Report) -> float | None:
    """Return the verdict's largest possible speedup."""
    found = view.whole(report.verdict.ceiling_speedup)
    return None if found is None else found.likely


def _scale(report: Report, entries: Sequence[Advice], name: str) -> float:
    """Return the right end of the scale all gains of a list are drawn on; 1.2 keeps tiny gains tiny."""
    highs = [found.high for found in (view.whole(entry.speedup) for entry in entries) if found is not None]
    ceiling = _ceiling(report) if name == "faster" else None
    return min(100.0, max([1.2, *highs, ceiling or 1.0]))


def _card(report: Report, rank: int, entry: Advice, top: float, limits: Limits) -> Section:
    """Return one card."""
    found = view.whole(entry.speedup) if entry.basis != "unknown" else None
    ceiling = (
        None if view.fewer_steps(entry) or entry.bottleneck != report.verdict.bottleneck else _ceiling(report)
    )
    return {
        "rank": rank,
        "title": spans(entry.title, limits.title),
        "bottleneck": view.bottleneck(entry.bottleneck),
        "addresses": not view.fewer_steps(entry),
        "known": found is not None,
        "gain": view.ratio(found.likely) if found else "unknown",
        "unit": "fewer steps" if view.fewer_steps(entry) else "faster steps",
        "spread": view.spread(found) if found else "",
        "range": picture.gain_range(found, top, ceiling) if found else None,
        "trial": _trial(entry),
        "basis": view.BASES.get(entry.basis, ("", line(entry.basis, 80)))[1],
        "before_after": view.before_after(report, entry),
        "effort": view.EFFORTS.get(entry.effort, line(entry.effort, 40)),
        "effort_level": {"config": 1, "small": 2, "medium": 3, "large": 4}.get(entry.effort, 0),
        "numerics": view.NUMERICS.get(entry.numerics, line(entry.numerics, 60)),
        "safe": entry.numerics in ("identical", "reordered"),
        "risk": [spans(risk, limits.title) for risk in entry.risk[:6]],
        "summary": spans(entry.summary, limits.text),
        "snippet": block(entry.snippet, limits.code) if entry.snippet.strip() else "",
        "next_wall": view.bottleneck(entry.next_wall),
        "evidence": [_claim(claim, limits) for claim in entry.evidence[: limits.evidence]],
        "sources": [links(line(source, limits.title)) for source in entry.sources[: limits.evidence]],
        **_place(entry),
    }


def _trial(entry: Advice) -> Section | None:
    """Return what a trial found."""
    mark = trials.chip(entry.trial)
    if mark is None:
        return None
    return {"words": mark[0], "look": mark[1], "text": spans(trials.sentence(entry), 1200)}


def _claim(claim: tuple[str, str, str], limits: Limits) -> Section:
    """Return one piece of published evidence."""
    return {
        "claim": spans(claim[0], limits.text),
        "source": links(line(claim[1], limits.title)),
        "basis": view.EVIDENCE_BASES.get(claim[2], line(claim[2], 40)),
    }


def _place(entry: Advice) -> Section:
    """Return where a method stands in both surveys' taxonomies."""
    cell = entry.taxonomy or {}
    second = entry.shen or {}
    path = [line(cell.get(key, ""), 60) for key in ("component", "subcomponent", "action", "mechanism")]
    return {
        "cell": (path[0], path[2]) if path[0] and path[2] else None,
        "path": [part for part in path if part],
        "category": line(second.get("category", ""), 40),
        "section": line(second.get("section", ""), 40),
    }


def _taxonomy_map(entries: Sequence[Advice], limits: Limits) -> list[Section]:
    """Return the component x action map with the titles that stand in each cell; empty where none does."""
    titles: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        cell = entry.taxonomy or {}
        titles.setdefault((cell.get("component", ""), cell.get("action", "")), []).append(
            line(entry.title, limits.title)
        )
    rows = [
        {
            "label": label,
            "meaning": meaning,
            "cells": [titles.get((key, action), [])[:4] for action in ACTIONS],
        }
        for key, label, meaning in COMPONENTS
    ]
    return rows if any(cell for row in rows for cell in row["cells"]) else []
