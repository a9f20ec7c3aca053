"""Reads what a deep window left in the run folder: each rank's operators, what was called again, the roofline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RecordError
from ..model.record import Failure
from .files import read_json

ROOFLINE = "roofline.json"
_MAX_RANKS = 64
_BESIDE = ("operators", "device", "replay")


def load_deep(folder: Path, failures: list[Failure]) -> dict[int, Mapping[str, Any]]:
    """Return by process id what each rank's window found.

    Under ``operators`` is what its trace holds, under ``device`` what a GPU did in it, under ``replay`` the times of
    what was called again afterwards.
    """
    found: dict[int, Mapping[str, Any]] = {}
    for path in sorted((folder / "deep").glob("deep-*.json"))[:_MAX_RANKS]:
        pid = path.stem.rpartition("-")[2]
        told = _mapping(path, failures)
        if told is None or not pid.isdecimal():
            continue
        beside = {name: _beside(path, f"{name}-{pid}.json", failures) for name in _BESIDE}
        found[int(pid)] = {**told, **beside}
    return found


def _beside(path: Path, name: str, failures: list[Failure]) -> Mapping[str, Any]:
    """Return the mapping in a file beside ``path``, empty where there is none."""
    other = path.with_name(name)
    return (_mapping(other, failures) or {}) if other.is_file() else {}


def load_roofline(folder: Path, failures: list[Failure]) -> Mapping[str, Any]:
    """Return what the probes found on this machine, empty where none ran."""
    path = folder / ROOFLINE
    return (_mapping(path, failures) or {}) if path.is_file() else {}


def _mapping(path: Path, failures: list[Failure]) -> Mapping[str, Any] | None:
    """Return the mapping in a file; None, and a failure, where there is none."""
    try:
        value = read_json(path)
    except RecordError as error:
        failures.append(Failure(collector="deep", reason=str(error)))
        return None
    if not isinstance(value, dict):
        failures.append(Failure(collector="deep", reason=f"{path}: not a mapping"))
        return None
    return value
