"""Report to HTML, JSON and terminal: every output is a view of the one report."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..model.report import Report
from . import html_report, json_report, terminal_report

RENDERERS: Mapping[str, Callable[[Report], str]] = {
    "html": html_report.render,
    "json": json_report.render,
    "terminal": terminal_report.render,
}

__all__ = ["RENDERERS"]
