"""Writes the report's files beside the record and shows the summary."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ..model.report import Report
from ..render import html_report, json_report, terminal_report
from ..store import write_text


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json`` into ``folder``, each whole or not at all; return their paths.

    Raises:
        OSError: The folder can't be written.
    """
    page, data = folder / "report.html", folder / "report.json"
    write_text(data, json_report.render(report))
    write_text(page, html_report.render(report))
    return page, data


def show(report: Report) -> None:
    """Print the summary on stderr: stdout belongs to the script."""
    terminal = sys.stderr.isatty()
    color = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    width = min(100, shutil.get_terminal_size((80, 24)).columns) if terminal else 80
    unicode = (sys.stderr.encoding or "").lower().replace("-", "") in ("utf8", "utf16")
    put(terminal_report.render(report, width=max(40, width), color=color, ascii=not unicode))


def put(text: str) -> None:
    """Write to stderr what its encoding can take; a closed or full stderr is the user's choice."""
    encoding = sys.stderr.encoding or "ascii"
    try:
        sys.stderr.write(text.encode(encoding, "replace").decode(encoding))
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def say(text: str) -> None:
    """Print one line of our own on stderr."""
    put(f"bottleneck: {printable(text)}\n")


def printable(text: str) -> str:
    """Return ``text`` with control characters spelt out: a file's name must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
