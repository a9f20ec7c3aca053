"""The share of a step that works on what no result depends on (counted by ``agent/useless.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .traffic import Scaled, numbers_of
from .values import Values


def read(told: Any) -> Mapping[str, int] | None:
    """Return the counts that are whole numbers and not negative; None where nothing was counted."""
    if not isinstance(told, Mapping):
        return None
    return {str(k): v for k, v in told.items() if isinstance(v, int) and not isinstance(v, bool) and v >= 0}


def analyse(counts: Mapping[str, int] | None, scaled: Scaled, values: Values) -> None:
    """Give the parts of positions and targets that count for nothing, and what of the step goes into them."""
    if counts is None:
        values.lack("device.padding_frac", "the run was recorded by a version that did not count padding")
        values.lack(
            "device.scores_frac", "the run was recorded by a version that did not count ignored targets"
        )
        return
    padded = _part(counts, "padding", "positions")
    ignored = _part(counts, "ignored", "targets")
    values.give("device.padded_frac", padded)
    values.give("device.ignored_frac", ignored)
    # All operators of model and loop run over positions: those of attention over their square, which counts more.
    values.give("device.padding_frac", padded * sum(o.seconds * part for o, part in scaled))
    head = [
        (o, part) for o, part in scaled if _is_of_scores(o.dims, o.out / o.calls, counts.get("scores", 0))
    ]
    values.give("device.scores_frac", ignored * sum(o.seconds * part for o, part in head))


def _part(counts: Mapping[str, int], some: str, every: str) -> float:
    """Return what part ``some`` are of ``every``; 0 where there are none."""
    return min(1.0, counts.get(some, 0) / counts[every]) if counts.get(every) else 0.0


def _is_of_scores(dims: str, out: float, scores: int) -> bool:
    """Return whether an operator reads or returns as many numbers as the loss is made of."""
    return scores > 0 and (round(out) == scores or scores in numbers_of(dims))
