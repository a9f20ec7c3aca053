"""Which advice is worth a trial, and in which order."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.mitigation import Advice

UNTOUCHED = frozenset(
    {"identical", "reordered", "changed"}
)  # numerics a trial may change without being asked


def worth_trying(advice: Sequence[Advice], allow_changes: bool = False) -> tuple[Advice, ...]:
    """Return the advice that can be tried on the unmodified script, the most promising first.

    All of it costs a trial the same, a pair of processes, so the predicted gain decides; what has no prediction
    comes after what has one, in the order of the report. What changes what is learned only with ``allow_changes``.
    """
    fitting = [
        one
        for one in advice
        if one.changes and one.currency == "time_per_step" and (allow_changes or one.numerics in UNTOUCHED)
    ]
    return tuple(sorted(fitting, key=lambda one: -_gain(one)))


def why_not(advice: Advice, allow_changes: bool = False) -> str:
    """Return why ``advice`` can't be tried, "" where it can."""
    if advice.currency != "time_per_step":
        return "it cuts the number of steps, which a short trial can't see"
    if not advice.changes:
        return "it needs an edit of the script"
    if not allow_changes and advice.numerics not in UNTOUCHED:
        return "it changes what is trained; --allow-changes tries it"
    return ""


def _gain(advice: Advice) -> float:
    """Return the predicted speedup; what nobody predicts is sorted behind."""
    found = advice.predicted or advice.speedup
    return found.likely if found is not None else 0.0
