"""Sentences with numbers in them: ``{input.wait_frac}`` becomes "71 %"."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..analyze.catalogue import CATALOGUE

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_CODE_PLACEHOLDER = re.compile(r"<<\s*([A-Za-z_][A-Za-z0-9_.]*)\s*>>")
_SUFFIXES = (
    ("_bytes_per_s", "bytes_per_s"),
    ("_per_s", "per_s"),
    ("_bytes", "bytes"),
    ("_frac", "frac"),
    ("_s", "s"),
)

Words = Callable[[str], "str | None"]


def placeholders(text: str) -> tuple[str, ...]:
    """Return the names in braces in ``text``."""
    return tuple(_PLACEHOLDER.findall(text))


def code_placeholders(text: str) -> tuple[str, ...]:
    """Return the names in double angle brackets in ``text``, which is code."""
    return tuple(_CODE_PLACEHOLDER.findall(text))


def unit_of(name: str) -> str:
    """Return the unit of a measurement, or of a ``let`` name by its suffix: ``batch_s`` is seconds."""
    spec = CATALOGUE.get(name)
    if spec is not None:
        return spec.unit
    return next((unit for suffix, unit in _SUFFIXES if name.endswith(suffix)), "count")


def fill(text: str, words: Words) -> str | None:
    """Return ``text`` with its placeholders in words; None where one of them has none."""
    found = {name: words(name) for name in placeholders(text)}
    if None in found.values():
        return None
    return _PLACEHOLDER.sub(lambda match: str(found[match.group(1)]), text)


def fill_or(text: str, words: Words, instead: str) -> str:
    """Return ``text`` with its placeholders in words, ``instead`` where one has none."""
    return _PLACEHOLDER.sub(lambda match: _or(words(match.group(1)), instead), text)


def fill_code(text: str, words: Words, instead: str) -> str:
    """Return code with its ``<<name>>`` placeholders in words, ``instead`` where one has none."""
    return _CODE_PLACEHOLDER.sub(lambda match: _or(words(match.group(1)), instead), text)


def _or(words: str | None, instead: str) -> str:
    """Return ``words``, or ``instead`` where there are none."""
    return instead if words is None else words
