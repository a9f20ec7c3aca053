"""What a report shows of many ranks: a few lines, quantiles, and a heat map ranks by time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...model.ranks import RankDigest
from .digest import BINS
from .survey import Survey

_LINES = 16  # ranks shown one by one; of more the latest, the dead, and one in the middle
_LATEST = 3
_DEAD = 4
_ROWS = 64  # of the heat map: neighbours share a row, which shows the slowest of them


def rows(survey: Survey) -> tuple[Mapping[str, Any], ...]:
    """Return a line for each rank, or for those that differ where there are many."""
    digests = survey.roster.digests
    late = _lateness(survey)
    notes = _notes(survey, late)
    shown = range(len(digests)) if len(digests) <= _LINES else sorted(notes)
    return tuple(_line(digests[number], late.get(number), notes.get(number, "")) for number in shown)


def _line(digest: RankDigest, late: float | None, note: str) -> Mapping[str, Any]:
    """Return one rank's line."""
    return {
        "rank": digest.rank if digest.rank is not None else 0,
        "host": digest.host,
        "pid": digest.pid,
        "steps": digest.steps + 1,
        "step_s": digest.step_s,
        "own_s": digest.own_s,
        "communication_s": digest.parts_s.get("communication", 0.0),
        "behind_s": late,
        "note": note,
    }


def _lateness(survey: Survey) -> dict[int, float]:
    """Return how many seconds per step each rank comes after the usual one."""
    late = survey.straggling
    if late is None:
        return {}
    return {int(member): float(late.lateness_s[row]) for row, member in enumerate(late.members)}


def _notes(survey: Survey, late: Mapping[int, float]) -> dict[int, str]:
    """Return the ranks worth a line by their index, and why."""
    digests = survey.roster.digests
    found: dict[int, str] = {0: ""}
    for number in sorted(late, key=lambda one: -late[one])[:_LATEST]:
        found[number] = "among the latest"
    if survey.straggling is not None:
        found[survey.straggling.usual] = "in the middle"
        if survey.straggling.is_constant:
            found[survey.straggling.rank] = "the latest"
    dead = {rank for rank, _ in (*survey.roster.dead, *survey.roster.crashed)[:_DEAD]}
    found |= {number: "ended early" for number, digest in enumerate(digests) if digest.rank in dead}
    return found


def picture(survey: Survey) -> dict[str, Any]:
    """Return quantiles of the ranks' own time and the heat map; empty for a single rank."""
    digests = survey.roster.digests
    if len(digests) < 2:
        return {}
    own = np.array([digest.own_s for digest in digests])
    names = ("min", "p25", "median", "p75", "max")
    quantiles = dict(zip(names, np.percentile(own, [0, 25, 50, 75, 100]).tolist(), strict=True))
    return {
        "seen": len(digests),
        "expected": survey.roster.expected,
        "own_s": {name: round(value, 9) for name, value in quantiles.items()},
        "heat": _heat(digests),
    }


def _heat(digests: tuple[RankDigest, ...]) -> dict[str, Any]:
    """Return own time over the middle of all ranks in the same stretch of the run, less one, by rows of ranks."""
    groups = np.array_split(np.arange(len(digests)), min(_ROWS, len(digests)))
    middle = _middle(digests)
    lines = []
    for group in groups:
        slowest = np.fmax.reduce([digests[int(number)].heat_s for number in group])
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = slowest / middle - 1
        numbers = [digests[int(number)].rank for number in (group[0], group[-1])]
        lines.append(
            {
                "first": numbers[0] if numbers[0] is not None else int(group[0]),
                "last": numbers[1] if numbers[1] is not None else int(group[-1]),
                "late": [round(float(value), 3) if np.isfinite(value) else None for value in relative],
            }
        )
    return {"columns": BINS, "rows": lines}


def _middle(digests: tuple[RankDigest, ...]) -> npt.NDArray[np.float32]:
    """Return the lower median of all ranks in each stretch."""
    matrix = np.sort(np.stack([digest.heat_s for digest in digests]), axis=0)
    known = np.count_nonzero(~np.isnan(matrix), axis=0)
    chosen: npt.NDArray[np.float32] = matrix[np.maximum(known - 1, 0) // 2, np.arange(matrix.shape[1])]
    return chosen
