"""``report.html``: one file that needs no network and runs no code but its own."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..model.report import Report
from ..resources import folder
from . import cards, ceilings, modules, plan, ranks, sections, trials, view
from .text import Limits, line

# A page must open at once and travel by mail; the issue asks for under 1 MB whatever the run.
MOST_BYTES = 1_000_000
_RUN_SHOWN_ELSEWHERE = ("account", "command", "reasons", "stopped_by_us", "tool_version")


def render(report: Report) -> str:
    """Return the page, at most :data:`MOST_BYTES` of UTF-8: long lists and texts are cut as far as needed."""
    limits = Limits()
    page = _page(report, limits)
    while len(page.encode()) > MOST_BYTES and limits != limits.halved():
        limits = limits.halved()
        page = _page(report, limits)
    return page


def _page(report: Report, limits: Limits) -> str:
    """Return the page within ``limits``."""
    script, style = asset("report.js"), asset("report.css")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    template = environment().get_template("report.html.j2")
    # Markup only for the two files we ship: everything else is escaped.
    return template.render(
        script=Markup(script), style=Markup(style), digest=digest, **_context(report, limits)
    )


@functools.cache
def environment() -> Environment:
    """Return the template environment; autoescape holds for every value."""
    return Environment(
        loader=FileSystemLoader(folder("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@functools.cache
def asset(name: str) -> str:
    """Return a file of ``templates/`` to put inside the page; its hash must cover what a browser sees."""
    return (
        "\n" + (folder("templates") / name).read_text(encoding="utf-8").replace("\r\n", "\n").strip() + "\n"
    )


def _context(report: Report, limits: Limits) -> Mapping[str, Any]:
    """Return what the template shows, by name."""
    return {
        "actions": cards.ACTIONS,
        "categories": cards.CATEGORIES,
        "components": cards.COMPONENTS,
        "command": view.command(report, limits.title),
        "started": line(report.run.get("started") or "", 60),
        "outcome": view.outcome(report),
        "version": line(report.run.get("tool_version") or "", 40),
        "verdict": sections.verdict(report, limits),
        "time": sections.time(report, limits),
        "account": sections.account(report, limits),
        "advice": cards.cards(report, limits),
        "plan": plan.sentence(report),
        "ceilings": ceilings.section(report, limits),
        "trials": trials.rows(report, limits),
        "findings": sections.findings(report, limits),
        "input_parts": sections.input_parts(report, limits),
        "stacks": sections.stacks(report, limits),
        "efficiency": sections.efficiency(report, limits),
        "modules": modules.section(report, limits),
        "ranks": sections.table(report.ranks, limits, most=9),
        "heat": ranks.heat(report, limits),
        "measurements": sections.measurements(report, limits),
        "unmeasured": sections.unmeasured(report, limits),
        "environment": sections.pairs(report.environment, limits),
        "run": sections.pairs(report.run, limits, without=_RUN_SHOWN_ELSEWHERE),
        "overhead": sections.pairs(report.overhead, limits, without=("note",)),
        "overhead_line": view.overhead(report),
        "overhead_note": line(report.overhead.get("note") or "", limits.text),
    }
