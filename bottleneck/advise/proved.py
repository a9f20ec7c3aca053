"""What trials found, put beside what was predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..model.mitigation import Advice
from ..model.trial import Trial

# What is proved comes first, what was tried and did not help last; what nobody tried keeps its place between.
_PLACE = {"PROVED": 0, "REFUTED": 2, "HARMFUL": 3}
_DECIDED = frozenset(_PLACE)


def with_trials(advice: Sequence[Advice], trials: Sequence[Trial]) -> tuple[Advice, ...]:
    """Return ``advice`` with the newest trial of each, in the order that the trials suggest.

    A trial counts for the very changes that the advice stands for now: with other numbers it is another change.
    """
    found = {one.mitigations[0]: one for one in trials if len(one.mitigations) == 1}
    told = [_with_trial(one, found.get(one.id)) for one in advice]
    return tuple(sorted(told, key=_place))


def _with_trial(advice: Advice, trial: Trial | None) -> Advice:
    """Return ``advice`` with its trial; a measured gain takes the place of the predicted one."""
    if trial is None or trial.changes != advice.changes:
        return advice
    if trial.state not in _DECIDED:
        return replace(advice, trial=trial, predicted=advice.speedup)
    return replace(advice, trial=trial, predicted=advice.speedup, speedup=trial.speedup, basis="trial")


def _place(advice: Advice) -> tuple[int, float]:
    """Return what advice is sorted by: of what is proved the largest gain first."""
    state = advice.trial.state if advice.trial is not None else ""
    gain = advice.speedup.likely if state == "PROVED" and advice.speedup is not None else 0.0
    return _PLACE.get(state, 1), -gain
