"""``compare.html``: one file that needs no network and runs no code but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from .. import units
from ..model.comparison import FORMAT, Comparison, Contrast
from ..model.report import PHASES
from . import compare_view as words
from . import pareto, view
from .html_report import asset, environment
from .text import line

_ROWS = 60  # of a table: more differences than anybody reads
_STATES = {"good": "healthy", "bad": "bottleneck", "": "insufficient"}
_LABELS = {"good": "Faster", "bad": "Slower", "": "No difference shown"}


def render(comparison: Comparison) -> str:
    """Return the page."""
    script, style = asset("report.js"), asset("report.css") + asset("compare.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = environment().get_template("compare.html.j2")
    # Markup only for the files we ship: everything else is escaped.
    return template.render(
        script=Markup(script), style=Markup(style), digest=digest, generator=FORMAT, **_context(comparison)
    )


def _context(comparison: Comparison) -> Mapping[str, Any]:
    """Return what the template shows, by name."""
    contrasts = [_contrast(contrast, comparison) for contrast in comparison.contrasts]
    names = [words.side_name(side) for side in comparison.sides]
    facts = [words.side_facts(side, comparison) for side in comparison.sides]
    columns = [at for at in range(len(facts[0])) if any(row[at][1] for row in facts)]
    return {
        "title": " | ".join(names[:2]) + (f" | {len(names) - 2} more" if len(names) > 2 else ""),
        "contrasts": contrasts,
        "columns": [facts[0][at][0] for at in columns],
        "sides": [
            {
                "letter": side.letter,
                "name": name,
                "cells": [row[at][1] or "–" for at in columns],
                "best": side.letter in comparison.pareto,
            }
            for side, name, row in zip(comparison.sides, names, facts, strict=True)
        ],
        "metric": line(comparison.metric or "", 60),
        "picture": pareto.picture(comparison),
        "time_label": words.time_label(comparison),
        "version": line(comparison.tool_version, 40),
    }


def _contrast(contrast: Contrast, comparison: Comparison) -> dict[str, Any]:
    """Return one side beside the first."""
    tone = words.tone(contrast)
    phases = [words.phase(row) for row in contrast.phases]
    return {
        "letter": contrast.letter,
        "state": _STATES[tone],
        "label": _LABELS[tone] if contrast.speedup.known else "No interval",
        "headline": line(contrast.headline, 600),
        "facts": _facts(contrast, comparison),
        "delta": line(contrast.delta.text, 600),
        "regression": None
        if contrast.regression is None
        else {"text": line(contrast.regression.text, 400), "failed": contrast.regression.failed},
        "warnings": [line(text, 600) for text in contrast.warnings[:_ROWS]],
        "basis": contrast.speedup.basis,
        "bars": _bars(contrast),
        "phases": phases,
        "ceilings": [words.ceiling(row) for row in contrast.ceilings[:_ROWS]],
        "efficiency": [words.metric(row) for row in contrast.efficiency[:_ROWS]],
        "findings": [words.finding(row) for row in contrast.findings[:_ROWS]],
        "differences": [words.difference(row) for row in contrast.differences[:_ROWS]],
        "differences_left_out": max(0, len(contrast.differences) - _ROWS),
    }


def _facts(contrast: Contrast, comparison: Comparison) -> list[tuple[str, str]]:
    """Return the numbers of the answer as (value, what it is)."""
    found, name = contrast.speedup, line(comparison.metric or "quality", 40)
    ends = (
        f" ({words.factor(found.ratio.low)} to {words.factor(found.ratio.high)}, 95 %)" if found.known else ""
    )
    facts = [
        (
            f"ε = {words.factor(found.ratio.likely)}",
            f"time of A over {contrast.letter}, per {found.basis}{ends}",
        ),
        (f"δ = {words.delta(contrast)}", f"change of {name}"),
    ]
    sides = {side.letter: side for side in comparison.sides}
    before, after = sides["A"].per_second, sides[contrast.letter].per_second
    if before and after:
        facts.append((units.count(after), f"samples per second, {units.count(before)} in A"))
    if found.run is not None:
        facts.append((words.factor(found.run), "time of whole runs, A over " + contrast.letter))
    return facts


def _bars(contrast: Contrast) -> list[dict[str, Any]]:
    """Return a step of both sides as stacked bars on one scale, in percent of the longer."""
    order = sorted(contrast.phases, key=lambda row: PHASES.index(row.phase) if row.phase in PHASES else 99)
    times = [[(row.phase, row.before_s) for row in order], [(row.phase, row.after_s) for row in order]]
    whole = max((sum(seconds for _, seconds in side) for side in times), default=0.0)
    if whole <= 0:
        return []
    return [
        {
            "letter": letter,
            "total": units.seconds(sum(seconds for _, seconds in side)),
            "segments": _segments(side, whole),
            "words": ", ".join(f"{view.phase_label(phase)} {units.seconds(s)}" for phase, s in side if s > 0),
        }
        for letter, side in zip(("A", contrast.letter), times, strict=True)
    ]


def _segments(side: list[tuple[str, float]], whole: float) -> list[dict[str, Any]]:
    """Return the parts of one bar."""
    placed, x = [], 0.0
    for phase, seconds in side:
        width = 100 * seconds / whole
        if width > 0:
            label = view.phase_label(phase)
            placed.append(
                {
                    "phase": phase if phase in PHASES else "other",
                    "x": x,
                    "width": width,
                    "label": label,
                    "time": units.seconds(seconds),
                }
            )
        x += width
    return placed
