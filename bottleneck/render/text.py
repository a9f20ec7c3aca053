"""Text that came from outside: bounded, and with nothing in it that a terminal or a page would act on."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

# Control characters (ANSI and OSC sequences begin with one), marks that reorder or hide text, line
# separators that end a JavaScript string, and halves of surrogate pairs, which no encoding can write.
_ACTIVE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_BLANKS = re.compile(r"[ \t\r\n\f\v]+")
# Narrow on purpose: what does not look like a plain https link is printed and not linked.
_LINK = re.compile(r"https://[A-Za-z0-9.-]+\.[A-Za-z]{2,}(?:/[A-Za-z0-9._~/?#=&%+:@!,-]*[A-Za-z0-9_/#=-])?")
_ASCII = {
    "\u2026": "...",
    "\u00b5": "u",
    "\u03bc": "u",
    "\u00d7": "x",
    "\u00b7": "-",
    "\u2192": "->",
    "\u2013": "-",
    "\u2014": "-",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2212": "-",
    "\u00a0": " ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a report goes on a page: characters of a text, entries of a list."""

    title: int = 240
    text: int = 900
    code: int = 4000
    rows: int = 60
    cards: int = 24
    evidence: int = 12
    frames: int = 700
    points: int = 600

    def halved(self) -> Limits:
        """Return limits half as wide, never below what still makes a report."""
        return Limits(**{entry.name: max(8, getattr(self, entry.name) // 2) for entry in fields(self)})


def _visible(match: re.Match[str]) -> str:
    """Return an active character as the escape a programmer would write for it."""
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def cut(value: str, limit: int, mark: str = "\u2026") -> str:
    """Return ``value`` with at most ``limit`` characters; ``mark`` tells that some are missing."""
    return value if len(value) <= limit else value[: max(0, limit - len(mark))].rstrip() + mark


def line(value: object, limit: int = 240) -> str:
    """Return ``value`` as one line that can't act on a terminal, at most ``limit`` characters."""
    raw = str(value)[: limit * 4 + 64]  # a megabyte of text is not worth cleaning to show a line of it
    return cut(_ACTIVE.sub(_visible, _BLANKS.sub(" ", raw).strip()), limit)


def block(value: object, limit: int = 4000) -> str:
    """Return ``value`` as cleaned lines, tabs as four blanks, at most ``limit`` characters."""
    raw = str(value)[: limit * 4 + 64].replace("\r\n", "\n").replace("\t", "    ")
    return cut(_ACTIVE.sub(_visible, raw).strip("\n"), limit)


def ascii_only(value: str) -> str:
    """Return ``value`` for a terminal that knows nothing but ASCII."""
    for fancy, plain in _ASCII.items():
        value = value.replace(fancy, plain)
    return value.encode("ascii", "backslashreplace").decode("ascii")


def code_spans(value: str) -> list[tuple[str, bool]]:
    """Return ``value`` split at backticks as (text, is code); an unpaired backtick stays text."""
    parts = value.split("`")
    if len(parts) % 2 == 0:
        parts[-2:] = ["`".join(parts[-2:])]
    return [(part, index % 2 == 1) for index, part in enumerate(parts) if part]


def spans(value: object, limit: int) -> list[tuple[str, bool]]:
    """Return ``value`` cleaned as by :func:`line` and split as by :func:`code_spans`."""
    return code_spans(line(value, limit))


def links(value: str) -> list[tuple[str, str | None]]:
    """Return ``value`` split as (text, address); the address is None for what is not an https link."""
    found: list[tuple[str, str | None]] = []
    end = 0
    for match in _LINK.finditer(value):
        found += [(value[end : match.start()], None), (match.group(), match.group())]
        end = match.end()
    found.append((value[end:], None))
    return [(part, address) for part, address in found if part]
