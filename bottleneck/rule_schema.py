"""JSON schemas of rule files, for editors: names, choices and what each field means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from .advise.mitigation import MitigationRule
from .analyze.catalogue import CATALOGUE
from .diagnose.expression import Expression
from .diagnose.rule import BottleneckRule
from .model.overrides import OVERRIDES
from .model.report import FAMILY_OF
from .predict.models import MODELS

KINDS = {"bottleneck": BottleneckRule, "mitigation": MitigationRule}
_EXPRESSION = (
    "An expression over measurements: names, numbers, + - * /, comparisons, and or not, min max ceil floor."
)
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def schema(kind: str) -> str:
    """Return the schema of one file of ``kind`` ("bottleneck" or "mitigation") as JSON text.

    Raises:
        KeyError: There is no such kind.
    """
    described = msgspec.json.schema(KINDS[kind], schema_hook=_expression)
    root = described["$defs"][KINDS[kind].__name__]
    for name, meaning in _meanings(KINDS[kind].__doc__ or ""):
        root["properties"][name]["description"] = meaning
    for one in described["$defs"].values():  # one line each; the fields speak for themselves
        if "description" in one:
            one["description"] = one["description"].partition("\n")[0].replace("``", "")
    _narrow(root["properties"], described["$defs"])
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"bottleneck: {kind} rule",
        **described,
    }
    return json.dumps(whole, indent=1) + "\n"


def _expression(kind: type) -> dict[str, Any]:
    """Return the schema of a type that JSON does not know."""
    if kind is not Expression:
        raise NotImplementedError(kind)
    return {"type": ["string", "number"], "description": _EXPRESSION}


def _meanings(documentation: str) -> Iterator[tuple[str, str]]:
    """Yield (field, what it means) from the part of a docstring that lists attributes."""
    _, _, attributes = documentation.partition("Attributes:\n")
    for name, meaning in _ATTRIBUTE.findall(re.sub(r"^ {4}", "", attributes, flags=re.MULTILINE)):
        yield name, " ".join(meaning.split()).replace("``", "")


def _narrow(properties: dict[str, Any], definitions: dict[str, Any]) -> None:
    """List the names that may stand where the types alone allow any text."""
    choices = {"addresses": FAMILY_OF, "worsens": FAMILY_OF, "show": CATALOGUE}
    for field, names in choices.items():
        if field in properties:
            properties[field]["items"] = {"enum": list(names)}
    if "bottleneck" in properties:
        properties["bottleneck"]["enum"] = list(FAMILY_OF)
    if "EstimateSpec" in definitions:
        definitions["EstimateSpec"]["properties"]["model"]["enum"] = list(MODELS)
    if "Trial" in definitions:
        spec = definitions["Trial"]["properties"]["overrides"]
        expression = spec.pop("additionalProperties")["additionalProperties"]
        offered = {name: one.settings for name, one in OVERRIDES.items() if not one.what_if}
        spec |= _mapping(
            {name: _mapping(dict.fromkeys(names, expression)) for name, names in offered.items()}
        )


def _mapping(properties: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a mapping that may have these properties and no other."""
    return {"type": "object", "properties": properties, "additionalProperties": False}
