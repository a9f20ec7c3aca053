"""recipe.json: the changes that a run is to be made with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RecordError
from ..model.overrides import fault
from ..model.trial import Change
from .files import read_json, write_text

RECIPE = "recipe.json"
RECIPE_SCHEMA = 1
_FIELDS = ("mitigation", "override", "settings")
_MOST = 100  # there are 22 overrides; a tune tries each advice once


def read_recipe(path: Path) -> tuple[Change, ...]:
    """Return the changes written in ``path``, in their order.

    Raises:
        RecordError: It is no recipe of ours; the text names the file, the field and what to do, in one line.
    """
    raw = read_json(path)
    if not isinstance(raw, dict) or "changes" not in raw:
        raise RecordError(f"{path}: no recipe: it needs 'schema' and 'changes'; `bottleneck tune` writes one")
    _check_schema(path, raw.get("schema"))
    _check_fields(path, "", raw, ("schema", "changes"))
    changes = raw["changes"]
    if not isinstance(changes, list) or len(changes) > _MOST:
        raise RecordError(f"{path}: changes: has to be a list of at most {_MOST} changes")
    return tuple(_change(path, f"changes[{number}]", one) for number, one in enumerate(changes))


def write_recipe(path: Path, changes: tuple[Change, ...]) -> None:
    """Write ``changes`` to ``path``, whole or not at all.

    Raises:
        ValueError: An override or a setting of a change does not exist.
    """
    for one in changes:
        wrong = fault(one.override, one.settings)
        if wrong:
            raise ValueError(wrong)
    lines = [json.dumps(_plain(one), ensure_ascii=False, allow_nan=False) for one in changes]
    body = "\n  " + ",\n  ".join(lines) + "\n " if lines else ""
    write_text(path, f'{{\n "schema": {RECIPE_SCHEMA},\n "changes": [{body}]\n}}\n')


def _plain(change: Change) -> dict[str, Any]:
    """Return a change as JSON has it: whole numbers without a point, settings by name."""
    settings = {
        name: int(value) if float(value).is_integer() else float(value)
        for name, value in sorted(change.settings.items())
    }
    return {"mitigation": change.mitigation, "override": change.override, "settings": settings}


def _check_schema(path: Path, schema: Any) -> None:
    """Raise RecordError unless this version reads ``schema``."""
    if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
        raise RecordError(f"{path}: schema: has to be {RECIPE_SCHEMA}")
    if schema > RECIPE_SCHEMA:
        raise RecordError(
            f"{path}: schema: this recipe has {schema} and this version reads up to {RECIPE_SCHEMA}: "
            "update bottleneck"
        )


def _check_fields(path: Path, where: str, value: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise RecordError where a field is missing or is none of ours."""
    place = f"{path}: {where}: " if where else f"{path}: "
    for name in known:
        if name not in value:
            raise RecordError(f"{place}lacks '{name}': add it")
    for name in value:
        if name not in known:
            raise RecordError(f"{place}unknown field {name[:80]!a}: leave it out")


def _change(path: Path, where: str, raw: Any) -> Change:
    """Return one change of the list."""
    if not isinstance(raw, dict):
        raise RecordError(f"{path}: {where}: has to be a mapping of {', '.join(_FIELDS)}")
    _check_fields(path, where, raw, _FIELDS)
    for name in ("mitigation", "override"):
        if not isinstance(raw[name], str):
            raise RecordError(f"{path}: {where}.{name}: has to be text")
    if not isinstance(raw["settings"], dict):
        raise RecordError(f"{path}: {where}.settings: has to be a mapping of names to numbers; {{}} for none")
    wrong = fault(raw["override"], raw["settings"])
    if wrong:
        raise RecordError(f"{path}: {where}: {wrong}")
    settings = {str(name): float(value) for name, value in raw["settings"].items()}
    return Change(mitigation=raw["mitigation"], override=raw["override"], settings=settings)
