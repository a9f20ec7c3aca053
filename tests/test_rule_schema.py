"""The schemas for editors: current, and true of every shipped file."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from trainbottleneck import rulebook
from trainbottleneck.cli.rules import rules
from trainbottleneck.rule_schema import KINDS, schema

SHIPPED = rulebook.shipped()


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_schema_is_what_is_generated(kind: str) -> None:
    committed = (SHIPPED / f"{kind}.schema.json").read_text(encoding="utf-8")
    assert committed == schema(kind), f"bottleneck rules schema {kind} > rules/{kind}.schema.json"


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_prints_it(kind: str) -> None:
    assert CliRunner().invoke(rules, ["schema", kind]).output == schema(kind)


def _faults(value: Any, node: dict[str, Any], whole: dict[str, Any], where: str) -> list[str]:
    """Return where ``value`` differs from the schema; of the keywords those that these schemas use."""
    if "$ref" in node:
        return _faults(value, whole["$defs"][node["$ref"].rpartition("/")[2]], whole, where)
    if "anyOf" in node:
        tried = [_faults(value, one, whole, where) for one in node["anyOf"]]
        return [] if [] in tried else tried[0]
    if "enum" in node and value not in node["enum"]:
        return [f"{where}: {value!r} is none of {node['enum']}"]
    types: dict[str, Any] = {
        "string": str,
        "boolean": bool,
        "number": (int, float),
        "array": list,
        "object": dict,
        "null": type(None),
    }
    wanted = node.get("type", [])
    names = [wanted] if isinstance(wanted, str) else wanted
    if names and not any(isinstance(value, types[name]) for name in names):
        return [f"{where}: {value!r} is no {names}"]
    found: list[str] = []
    if isinstance(value, dict):
        found += [f"{where}: lacks {name}" for name in node.get("required", ()) if name not in value]
        for key, item in value.items():
            inner = node.get("properties", {}).get(key, node.get("additionalProperties", {}))
            found += (
                _faults(item, inner, whole, f"{where}.{key}") if inner is not False else [f"{where}: {key}?"]
            )
    if isinstance(value, list) and isinstance(node.get("items"), dict):
        for i, item in enumerate(value):
            found += _faults(item, node["items"], whole, f"{where}[{i}]")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_shipped_file_fits_its_schema(kind: str) -> None:
    whole = json.loads(schema(kind))
    for path in sorted((SHIPPED / f"{kind}s").glob("*.yaml")):
        if not path.name.endswith(".test.yaml"):
            assert _faults(yaml.safe_load(path.read_text(encoding="utf-8")), whole, whole, path.stem) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"titel": "x"}, "gc: titel?"),
        ({"bottleneck": "gcc"}, "gc.bottleneck: 'gcc' is none of"),
        ({"show": ["gc.max"]}, "gc.show[0]: 'gc.max' is none of"),
        ({"share": [1]}, "gc.share: [1] is no"),
        ({"status": "new"}, "gc.status: 'new' is none of"),
    ],
)
def test_a_wrong_file_does_not_fit(change: dict[str, Any], says: str) -> None:
    whole = json.loads(schema("bottleneck"))
    rule = yaml.safe_load((SHIPPED / "bottlenecks" / "gc.yaml").read_text(encoding="utf-8"))
    assert _faults(rule, whole, whole, "gc") == []
    (fault,) = _faults({**rule, **change}, whole, whole, "gc")
    assert fault.startswith(says)


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_explained(kind: str) -> None:
    described = json.loads(schema(kind))
    root = described["$defs"][KINDS[kind].__name__]["properties"]
    assert [name for name, field in root.items() if not field.get("description")] == []
