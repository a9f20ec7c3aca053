"""``report.json``: the report itself, key for key, in strict JSON."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from ..errors import RecordError
from ..model.report import SCHEMA, Report

# The order of DESIGN 3; what the contract does not name comes after it.
KEYS = (
    "schema",
    "verdict",
    "step",
    "findings",
    "mitigations",
    "plan",
    "rejected",
    "not_evaluated",
    "ceilings",
    "efficiency",
    "ranks",
    "environment",
    "overhead",
    "run",
    "measurements",
    "trials",
    "pictures",
)
# Python's encoder recurses once a level and its default limit is 1000 frames; the deepest part of a
# report is the tree of stacks, with two levels for each frame.
_DEEPEST = 300


def render(report: Report) -> str:
    """Return ``report`` as JSON: keys in the order of the contract, two blanks a level, ASCII only.

    NaN and infinity become null. The same report gives the same bytes.
    """
    plain = {key: _plain(getattr(report, key), 0) for key in KEYS}
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def _plain(value: Any, depth: int) -> Any:
    """Return ``value`` in JSON's own types; what lies deeper than ``_DEEPEST`` levels is left out."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if depth >= _DEEPEST:
        return None
    if is_dataclass(value):
        return {entry.name: _plain(getattr(value, entry.name), depth + 1) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item, depth + 1) for item in value), key=str)
    # NumPy scalars know their Python value; anything else is shown, never serialised.
    return _plain(value.item(), depth + 1) if hasattr(value, "item") else str(value)


def load(text: str) -> Report:
    """Return the report that ``text`` holds: the inverse of :func:`render`.

    Keys it does not know are ignored. A number that was NaN comes back as NaN.

    Raises:
        RecordError: ``text`` is no report, or a newer version wrote it.
    """
    raw = _decoded(text)
    schema = raw.get("schema")
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise RecordError("not a report: it has no number called 'schema'")
    if schema > SCHEMA:
        raise RecordError(
            f"this report has schema {schema} and this version reads up to {SCHEMA}: update bottleneck"
        )
    try:
        return msgspec.convert(_with_nan(Report, raw), Report)
    except (msgspec.ValidationError, RecursionError) as problem:
        raise RecordError(f"not a report: {problem}") from None


def _decoded(text: str) -> dict[str, Any]:
    """Return the object that ``text`` holds."""
    try:
        raw = json.loads(text)
    except RecursionError:
        raise RecordError("not a report: nested too deeply") from None
    except ValueError as problem:
        raise RecordError(f"not a report: {problem}") from None
    if not isinstance(raw, dict):
        raise RecordError(f"not a report: it holds a {type(raw).__name__} where an object belongs")
    return raw


def _with_nan(kind: Any, value: Any) -> Any:
    """Return ``value`` with NaN for null where ``kind`` asks for a number and allows nothing else."""
    if kind is float:
        return math.nan if value is None else value
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        hints = get_type_hints(kind)
        return {key: _with_nan(hints.get(key, Any), item) for key, item in value.items()}
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        known = [part for part in inner if part is not type(None)]
        return value if value is None or len(known) != 1 else _with_nan(known[0], value)
    if origin is tuple and isinstance(value, list):
        return [
            _with_nan(part, item) for part, item in zip(_element_kinds(inner, len(value)), value, strict=True)
        ]
    if origin is Mapping and isinstance(value, dict):
        return {key: _with_nan(inner[1], item) for key, item in value.items()}
    return value


def _element_kinds(inner: tuple[Any, ...], length: int) -> list[Any]:
    """Return the type of each of a tuple's ``length`` elements; a wrong length is left to the decoder."""
    if len(inner) == 2 and inner[1] is ...:
        return [inner[0]] * length
    return [inner[index] if index < len(inner) else Any for index in range(length)]
