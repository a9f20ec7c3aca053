"""Arguments that torch does not take together."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping


def companions(override: str, call: ast.Call, values: Mapping[str, str]) -> dict[str, str]:
    """Return what else has to be set so that torch takes ``values``, as the override does it at run time."""
    if override == "optimizer":
        for name, other in (("fused", "foreach"), ("foreach", "fused")):
            if values.get(name) == "True" and other not in values and _constant(call, other) is True:
                return {other: "None"}
    return {}


def conflict(override: str, call: ast.Call, values: Mapping[str, str]) -> str:
    """Return which arguments torch would refuse beside ``values``, "" where none."""
    if (
        override == "compile"
        and "reduce_overhead" in values
        and any(one.arg == "options" for one in call.keywords)
    ):
        return "torch takes a mode or options, not both"
    if override != "loader" or any(one.arg is None for one in call.keywords):
        return ""
    after = {**{one.arg: _constant(call, one.arg or "") for one in call.keywords}}
    after |= {name: ast.literal_eval(text) for name, text in values.items()}
    workers = after.get("num_workers", 0 if len(call.args) <= _WORKERS else _OTHER)
    if workers == 0:
        for name, unset in (("persistent_workers", False), ("prefetch_factor", None), ("timeout", 0)):
            if after.get(name, unset) not in (unset, _OTHER):
                return f"{name} needs workers"
    return ""


def waiting(override: str, refused: Collection[str], values: Mapping[str, str]) -> dict[str, str]:
    """Return what must not be set before something that was refused is, and why."""
    if override != "loader" or "num_workers" not in refused:
        return {}
    reason = "it needs workers: set it with num_workers"
    return {
        name: reason
        for name in ("prefetch_factor", "persistent_workers")
        if name in values and name not in refused
    }


_WORKERS = 5  # num_workers as a positional argument
_OTHER = object()  # a value that is not written out


def _constant(call: ast.Call, keyword: str) -> object:
    """Return the value a call gives to a keyword where it is a constant, ``_OTHER`` where it is none."""
    value = next((one.value for one in call.keywords if one.arg == keyword), None)
    return value.value if isinstance(value, ast.Constant) else _OTHER
