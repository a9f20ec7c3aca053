"""Delta: what became of the quality that the runs logged, never mixed with time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .. import units
from ..model.comparison import Delta, Side
from . import estimate
from .facts import Facts

_ALIKE = 0.01  # optimizer steps before the last value that differ by less are the same training


def last(one: Facts, metric: str) -> tuple[float, int] | None:
    """Return the last finite value of ``metric`` and the optimizer steps before it; None where there is none."""
    found = (one.logged or {}).get(metric)
    if found is None or not len(found.values) or not math.isfinite(found.values[-1]):
        return None
    return float(found.values[-1]), int(found.updates[-1])


def names(runs: Sequence[Facts]) -> list[str]:
    """Return the names under which any run logged numbers that were read."""
    return sorted({name for one in runs for name, found in (one.logged or {}).items() if len(found.values)})


def why_missing(runs: Sequence[Facts], metric: str) -> str:
    """Return why no last value of ``metric`` is known for these runs."""
    if all(one.logged is None for one in runs):
        return "only reports are here, and what a run logged is in its record"
    kept = [one.logged[metric] for one in runs if one.logged and metric in one.logged]
    if any(found.unread and not len(found.values) for found in kept):
        return f"{metric} was logged as a tensor on a device, which is not read: log float({metric})"
    if kept:
        return f"the last {metric} is not a finite number"
    known = ", ".join(names(runs)[:12])
    return f"{metric} was not logged ({f'logged: {known}' if known else 'nothing was'})"


def delta(before: Side, after: Side, metric: str | None, higher: bool | None, missing: str) -> Delta:
    """Return the change of ``metric`` from ``before`` to ``after``; ``missing`` says why it is not known."""
    if metric is None or before.quality is None or after.quality is None:
        return Delta(value=None, difference=None, known=False, better=None, text=f"Quality: {missing}.")
    change, known = estimate.difference(before.quality, after.quality)
    base = abs(before.quality.value)
    sure = known and (change.low > 0 or change.high < 0)
    better = None if higher is None or not sure else (change.likely > 0) == higher
    parts = [f"{metric}: {_plain(before.quality.value)} to {_plain(after.quality.value)}"]
    if base:
        parts[0] += f" ({_signed(change.likely / base)})"
    parts.append(_verdict(change.likely, known, sure, better, higher))
    return Delta(
        value=change.likely / base if base else None,
        difference=change,
        known=known,
        better=better,
        text="; ".join(parts) + ".",
    )


def _verdict(change: float, known: bool, sure: bool, better: bool | None, higher: bool | None) -> str:
    """Return what the change means, in words."""
    if not known:
        return "one run on a side can't tell this from what another seed gives" if change else "the same"
    if not sure:
        return "not told from noise between runs"
    if higher is None:
        return "which way is better was not said (--higher-is-better, --lower-is-better)"
    return "better" if better else "worse"


def _plain(value: float) -> str:
    """Return a value of a metric in four digits."""
    return f"{value:.4g}"


def _signed(fraction: float) -> str:
    """Return a change in percent with its sign."""
    return ("+" if fraction > 0 else "-" if fraction < 0 else "") + units.fraction(abs(fraction))


def unequal(before: Side, after: Side, metric: str | None) -> str:
    """Return the warning that quality was taken after different amounts of training, or ""."""
    if metric is None or before.updates is None or after.updates is None:
        return ""
    most, least = max(before.updates, after.updates), min(before.updates, after.updates)
    if most - least <= _ALIKE * most:
        return ""
    return (
        f"The last {metric} was logged after {before.updates} optimizer steps in {before.letter} and "
        f"{after.updates} in {after.letter}: quality after different amounts of training."
    )


def partial(runs: Sequence[Facts], side: Side, metric: str | None) -> str:
    """Return the warning that only some runs of a side tell their quality, or ""."""
    known = sum(last(one, metric) is not None for one in runs) if metric else 0
    if not 0 < known < len(runs):
        return ""
    return f"{side.letter}: {metric} is known of {known} of its {len(runs)} runs."


def front(sides: Sequence[Side], higher: bool | None) -> tuple[str, ...]:
    """Return the letters of the sides that no other beats in both time and quality; () where that is unknown."""
    placed = [(side.letter, *_middle(side)) for side in sides if side.points]
    if higher is None or len(placed) < 2:
        return ()
    oriented = [(letter, time, value if higher else -value) for letter, time, value in placed]
    return tuple(
        letter
        for letter, time, value in oriented
        if not any(t <= time and v >= value and (t < time or v > value) for _, t, v in oriented)
    )


def _middle(side: Side) -> tuple[float, float]:
    """Return the mean point of a side."""
    count = len(side.points)
    return sum(time for time, _ in side.points) / count, sum(value for _, value in side.points) / count
