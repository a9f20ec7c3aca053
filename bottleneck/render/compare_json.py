"""``compare.json``: the comparison itself, key for key, in strict JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from ..model.comparison import FORMAT, Comparison

KEYS = (
    "schema",
    "tool_version",
    "metric",
    "higher_is_better",
    "time_basis",
    "pareto",
    "sides",
    "contrasts",
)


def render(comparison: Comparison) -> str:
    """Return ``comparison`` as JSON, two blanks a level, ASCII only; ``format`` names what it is.

    NaN and infinity become null. The same comparison gives the same bytes.
    """
    plain = msgspec.to_builtins(comparison)
    told = {"format": FORMAT, **{key: _finite(plain[key]) for key in KEYS}}
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """Return ``value`` with None for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
