"""The model's modules and operators in the report: FLOPs, bytes and time beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import units
from ..model.report import Report
from . import view
from .text import Limits, line

_SHARES = (("flops_share", "FLOPs"), ("bytes_share", "Bytes"), ("time_share", "Time"))
_CLASSES = 12
_LIMITS = {
    "maths": "arithmetic",
    "bandwidth": "memory",
    "overhead": "overhead",
    "unplaced": "neither roof",
}


def section(report: Report, limits: Limits) -> dict[str, Any] | None:
    """Return classes as three bars each, and tables of modules and operators; None where nothing was counted."""
    found = report.pictures.get("modules")
    if not isinstance(found, Mapping):
        return None
    classes, modules, operators = (_rows(found.get(key)) for key in ("classes", "modules", "operators"))
    if not classes and not operators:
        return None
    return {
        "classes": [_bars(row, limits) for row in classes[:_CLASSES]],
        "modules": [_module(row, limits) for row in modules[: limits.rows]],
        "operators": [_operator(row, limits) for row in operators[: limits.rows]],
    }


def _rows(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings in a list the caller filled."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, (list, tuple)) else []


def _share(row: Mapping[str, Any], key: str) -> float:
    """Return a share between 0 and 1, 0 where it is none."""
    return min(1.0, max(0.0, view.finite(row.get(key)) or 0.0))


def _bars(row: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """Return one class with its three shares."""
    shares = [(label, _share(row, key)) for key, label in _SHARES]
    return {
        "name": line(row.get("class", ""), limits.title),
        "bars": [(label, 100 * share, view.share(share)) for label, share in shares],
    }


def _module(row: Mapping[str, Any], limits: Limits) -> list[str]:
    """Return the cells of one module."""
    number = {key: view.finite(row.get(key)) or 0.0 for key in row}
    return [
        line(row.get("module", ""), limits.title),
        line(row.get("class", ""), limits.title),
        units.count(number.get("parameters", 0.0)),
        f"{number.get('flops', 0.0):.3g}",
        units.size(number.get("bytes", 0.0)),
        f"{number.get('activations', 0.0):.3g}",
        view.duration(number.get("forward_s", 0.0)),
        view.duration(number.get("backward_s", 0.0)),
        view.share(_share(row, "time_share")),
    ]


def _operator(row: Mapping[str, Any], limits: Limits) -> list[str]:
    """Return the cells of one operator."""
    number = {key: view.finite(row.get(key)) or 0.0 for key in row}
    return [
        line(row.get("operator", ""), limits.title),
        line(row.get("shapes", ""), limits.title),
        line(row.get("phase", ""), 20),
        line(row.get("source", ""), limits.title),
        units.count(number.get("calls", 0.0)),
        view.duration(number.get("seconds", 0.0)),
        f"{number.get('flops_per_s', 0.0):.3g}",
        f"{number.get('intensity', 0.0):.3g}",
        _LIMITS.get(str(row.get("limit")), ""),
        view.share(_share(row, "roof_frac")),
    ]
