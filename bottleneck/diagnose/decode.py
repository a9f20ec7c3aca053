"""From the text of a rule file to a typed, frozen structure, or one line on what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from ..errors import RuleError
from .document import read_document
from .expression import Expression, check_names, did_you_mean, parse
from .sentence import placeholders

Decoded = TypeVar("Decoded")

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*\Z")
_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")


def decode(text: str, where: str, kind: type[Decoded]) -> Decoded:
    """Return the structure ``kind`` written in the YAML ``text``.

    Raises:
        RuleError: One line: ``where``, the field, what is wrong, the nearest right name.
    """
    data = read_document(text, where)
    try:
        return msgspec.convert(data, kind, dec_hook=_expression)
    except msgspec.ValidationError as error:
        raise RuleError(f"{where}: {_explain(str(error), kind)}") from None


def check_identifier(name: str, what: str, where: str) -> None:
    """Raise RuleError unless ``name`` is lower case letters, digits and underscores."""
    if not _IDENTIFIER.match(name) or len(name) > 60:
        raise RuleError(f"{where}: {what}: {name[:80]!a} must be lower case letters, digits and '_'")


def check_choice(value: str, known: Iterable[str], what: str, where: str) -> None:
    """Raise RuleError with the nearest of ``known`` unless ``value`` is one of them."""
    names = list(known)
    if value not in names:
        raise RuleError(f"{where}: {what}: unknown {value[:80]!a}{did_you_mean(value, names)}")


def check_let(let: Mapping[str, Expression], known: Collection[str], where: str) -> set[str]:
    """Return ``known`` and the names in ``let``; each may read those before it."""
    names = set(known)
    for name, expression in let.items():
        check_identifier(name, "let", where)
        check_names(expression, names, f"{where}: let.{name}")
        names.add(name)
    return names


def check_expressions(
    fields: Mapping[str, Iterable[Expression | None]], known: Collection[str], where: str
) -> None:
    """Raise RuleError where an expression reads a name that is not in ``known``."""
    for field, expressions in fields.items():
        for expression in expressions:
            if expression is not None:
                check_names(expression, known, f"{where}: {field}")


def check_placeholders(fields: Mapping[str, Iterable[str]], known: Collection[str], where: str) -> None:
    """Raise RuleError where a text names something that is not in ``known``."""
    for field, texts in fields.items():
        for name in (name for text in texts for name in placeholders(text)):
            if name not in known:
                raise RuleError(f"{where}: {field}: unknown name '{name[:80]}'{did_you_mean(name, known)}")


def _expression(kind: type, value: Any) -> Any:
    """Decode hook: an expression is text, or a plain number. ValueError makes msgspec name the field."""
    if kind is not Expression:
        raise NotImplementedError(kind)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"Expected an expression, got `{type(value).__name__}`")
    try:
        return parse(str(value), "")
    except RuleError as error:
        raise ValueError(str(error).removeprefix(": ")) from None


def _explain(message: str, kind: type) -> str:
    """Return msgspec's message with the field in front and the nearest right name behind."""
    what, _, place = message.partition(" - at `$")
    field = place.rstrip("`").lstrip(".")
    unknown = _UNKNOWN_FIELD.search(what)
    hint = did_you_mean(unknown.group(1), _fields(kind)) if unknown else ""
    line = ascii(" ".join(what.split()))[1:-1][:300].replace("\\'", "'")
    return f"{field}: {line}{hint}" if field else line + hint


def _fields(kind: type) -> list[str]:
    """Return the names of all fields of a structure and of the structures inside it."""
    names: list[str] = []
    todo: list[Any] = [msgspec.inspect.type_info(kind)]
    seen: set[type] = set()  # a structure may hold one of its own kind
    while todo:
        info = todo.pop()
        if getattr(info, "cls", None) in seen:
            continue
        seen.update({info.cls} if hasattr(info, "cls") else ())
        for field in getattr(info, "fields", ()):
            names.append(field.encode_name)
            todo.append(field.type)
        todo.extend(getattr(info, "types", ()))
        todo.extend(t for t in (getattr(info, "item_type", None), getattr(info, "value_type", None)) if t)
    return names
