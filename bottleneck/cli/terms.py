"""Pages on the terms of the taxonomy: components, subcomponents, actions, mechanisms, categories, currencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..advise.mitigation import TaxonomyPath
from ..rulebook import Rulebook

Sections = Mapping[str, Sequence[str]]

# Group in taxonomy.yaml, what one of it is called, the field of a path that holds its id.
_GROUPS = (
    ("components", "component of training", "component"),
    ("subcomponents", "subcomponent of training", "subcomponent"),
    ("actions", "action on a component", "action"),
    ("categories", "category of the second survey", ""),
    ("currencies", "currency of gains", ""),
)
_MECHANISMS = (("timing", "when a method decides"), ("information", "from what knowledge a method decides"))


def names(book: Rulebook) -> list[str]:
    """Return every name that has a page here."""
    return [str(entry["id"]) for entry, _, _ in _entries(book)]


def term_pages(identifier: str, book: Rulebook) -> Iterator[tuple[str, Sections]]:
    """Yield (title, sections) of each term that is called ``identifier``, in whatever case."""
    wanted = identifier.lower()
    for entry, kind, field in _entries(book):
        called = {str(entry[key]).lower() for key in ("id", "name", "symbol") if key in entry}
        if wanted in called:
            yield f"{entry.get('name', entry['id'])} | {kind}", _sections(entry, field, book)


def _entries(book: Rulebook) -> Iterator[tuple[Mapping[str, Any], str, str]]:
    """Yield every term with what it is called and the field of a path that holds it."""
    for group, kind, field in _GROUPS:
        yield from ((entry, kind, field) for entry in _told(book.taxonomy, group))
    for group, kind in _MECHANISMS:
        entries = _told(book.taxonomy.get("mechanisms"), group)
        yield from ((entry, f"mechanism: {kind}", group) for entry in entries)


def _told(taxonomy: Any, group: str) -> list[Mapping[str, Any]]:
    """Return the entries of ``group`` that say what they are; a user's file may hold anything."""
    entries = taxonomy.get(group) if isinstance(taxonomy, Mapping) else None
    found = [one for one in entries if isinstance(one, Mapping)] if isinstance(entries, list) else []
    return [one for one in found if one.get("id") and one.get("meaning")]


def _sections(entry: Mapping[str, Any], field: str, book: Rulebook) -> Sections:
    """Return the sections of one term."""
    identifier = str(entry["id"])
    return {
        "What it is": [str(entry["meaning"])],
        "What it does to the time of an iteration (T_i)": _text(entry, "time_per_iteration"),
        "What it does to the number of iterations (n_iteration)": _text(entry, "iterations"),
        "Effect": _text(entry, "effect"),
        "Subcomponents": _text(entry, "subcomponents"),
        "Elements": _text(entry, "elements"),
        "Part of": _text(entry, "component"),
        "Section": _text(entry, "section"),
        "Methods": _methods(identifier, field, book),
    }


def _text(entry: Mapping[str, Any], key: str) -> list[str]:
    """Return the text or the texts under ``key`` as a list, empty where there is none."""
    value = entry.get(key)
    if value is None:
        return []
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


def _methods(identifier: str, field: str, book: Rulebook) -> list[str]:
    """Return one line for each place of the term that has methods, else one with all of its methods."""
    if not field:
        found = [
            rule.id
            for rule in book.mitigations.values()
            if identifier in (rule.currency, rule.shen.category if rule.shen else None)
        ]
        return [", ".join(found)]
    places: dict[str, list[str]] = {}
    for rule in book.mitigations.values():
        for path in rule.paths:
            if getattr(path, field) == identifier:
                places.setdefault(_heading(path, field), []).append(rule.id)
    return [f"{where}: {', '.join(dict.fromkeys(found))}" for where, found in sorted(places.items())]


def _heading(path: TaxonomyPath, field: str) -> str:
    """Return the place of ``path`` but for what the page is about."""
    if field == "action":
        return f"{path.component}/{path.subcomponent}"
    if field == "component":
        return f"{path.subcomponent}, {path.action}"
    if field == "subcomponent":
        return path.action
    return f"{path.component}/{path.subcomponent}, {path.action}"
