"""What to do next to find the fastest recipe: which advice to try on top of what is proved, and when to stop.

Greedy, one wall at a time: of what a round proves the best is taken, and the script is diagnosed again with it, since
what limits it then is something else. Pure: whoever runs things tells what came of them and how long it took.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..model.mitigation import Advice
from ..model.trial import Change, Trial
from .trying import worth_trying

Recipe = tuple[Change, ...]
Effect = frozenset[tuple[str, frozenset[tuple[str, float]]]]

AT_ONCE = 3  # candidates of a round: as many as the summary of a report shows
_EQUAL_PAIRS = 2  # pairs of a session before the first candidate, and those of the first look (verify)
_FIRST_LOOK = 3
_HALF = 0.5  # of the time left is what one round may take: however hard its candidates, others get their turn
_NEVER_AGAIN = frozenset(("HARMFUL", "FAILED"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnose:
    """Diagnose the script with ``recipe``, and call ``diagnosed``."""

    recipe: Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """Try each of ``candidates`` on top of ``recipe`` against ``recipe`` alone, and call ``tried``.

    Attributes:
        recipe: What both arms have.
        candidates: The advice, most promising first.
        arms: For each candidate all changes of the second arm.
        budget_s: Seconds that the session may take.
    """

    recipe: Recipe
    candidates: tuple[Advice, ...]
    arms: tuple[Recipe, ...]
    budget_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """Try ``recipe`` as a whole against the script as it is, and call ``confirmed``."""

    recipe: Recipe
    budget_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Nothing is left to do.

    Attributes:
        recipe: The fastest that is proved; empty where nothing is.
        total: The trial of it against the script as it is; None where nothing is proved.
        taken: The trials of what was taken, in order, each on top of those before.
        reason: Why it ends here.
    """

    recipe: Recipe
    total: Trial | None
    taken: tuple[Trial, ...]
    reason: str


Step = Diagnose | Try | Confirm | Finish


class Tuning:
    """The search for the fastest recipe within a budget of time.

    tuning = Tuning(budget_s=1800)
    while not isinstance(step := tuning.next(), Finish):
        ...  # carry it out, then tell: diagnosed, tried or confirmed
    """

    def __init__(self, *, budget_s: float, allow_changes: bool = False, steps: float | None = None) -> None:
        """Prepare.

        Args:
            budget_s: Seconds for everything.
            allow_changes: Also try what changes what is learned.
            steps: Steps of the whole training where they are known: what pays only later is not taken.
        """
        self.recipe: Recipe = ()
        self.taken: list[tuple[Advice, Trial]] = []
        self._left_s, self._allow, self._steps = budget_s, allow_changes, steps
        self._advice: tuple[Advice, ...] | None = None
        self._wall = ""
        self._arm_s = self._diagnosis_s = self._pair_s = 0.0
        self._tried: dict[Effect, tuple[str, str, int]] = {}  # state, wall, number of changes taken by then
        self._total: Trial | None = None
        self._is_confirmed = False
        self._reason = ""

    def next(self) -> Step:
        """Return what to do now."""
        if self._is_confirmed:
            return self._finish(self._reason)
        if self._advice is None:
            if self.taken and self._left_s < self._diagnosis_s + self._least_s(1) + self._reserve_s():
                return self._end("the budget has no time for the next wall")
            return Diagnose(recipe=self.recipe)
        fitting = [one for one in worth_trying(self._advice, self._allow) if self._is_open(one)]
        distinct = list({_effect(one.changes): one for one in reversed(fitting)}.values())[::-1]
        chosen = distinct[:AT_ONCE]
        if not chosen:
            return self._end("nothing is left that could be tried")
        while chosen and self._least_s(len(chosen)) > self._left_s - self._reserve_s():
            chosen.pop()
        if not chosen:
            return self._end("the budget has no time for another verdict")
        spare_s = self._left_s - self._reserve_s()
        return Try(
            recipe=self.recipe,
            candidates=tuple(chosen),
            arms=tuple(stacked(self.recipe, one.changes) for one in chosen),
            budget_s=max(self._least_s(len(chosen)), _HALF * spare_s),
        )

    def diagnosed(self, advice: Sequence[Advice], wall: str, arm_s: float, seconds: float) -> None:
        """Note a diagnosis with the recipe.

        Args:
            advice: Of its report.
            wall: The bottleneck of its verdict.
            arm_s: What one process of a trial takes.
            seconds: What the diagnosis took.
        """
        self._advice, self._wall, self._arm_s = tuple(advice), wall, arm_s
        self._diagnosis_s = seconds
        self._left_s -= seconds

    def tried(self, step: Try, trials: Sequence[Trial], seconds: float) -> None:
        """Note the trials of a round, one for each candidate that was begun, known by its advice's id."""
        self._left_s -= seconds
        if not self.taken:
            self._pair_s = max((_seconds_a_pair(one) for one in trials), default=0.0) or 2 * self._arm_s
        found = {one.mitigations[-1]: one for one in trials if one.mitigations}
        for advice in step.candidates:
            trial = found.get(advice.id)
            state = "UNDECIDED" if trial is None else trial.state
            self._tried[_effect(advice.changes)] = (state, self._wall, len(self.taken))
        proved = [
            (one, found[one.id]) for one in step.candidates if one.id in found and self._pays(found[one.id])
        ]
        if proved:
            best = max(proved, key=lambda one: _sure(one[1]))
            self._take(*best)

    def confirmed(self, trial: Trial, seconds: float) -> None:
        """Note the trial of the whole recipe; what is not proved together falls back to what is proved alone."""
        self._left_s -= seconds
        self._is_confirmed = True
        if trial.state == "PROVED":
            self._total = trial
        else:
            advice, self._total = self.taken[0]
            self.recipe = stacked((), advice.changes)
            self._reason += "; all changes together were not proved, so the first is left"

    def stop(self) -> Finish:
        """Return what is known where somebody stops the search: the recipe that is proved against the script."""
        return self._finish("it was stopped")

    def _take(self, advice: Advice, trial: Trial) -> None:
        """Put advice on top of the recipe; what limits the script now has to be found out."""
        self.taken.append((advice, trial))
        self.recipe = stacked(self.recipe, advice.changes)
        self._advice = None
        if len(self.taken) == 1:
            self._total = trial  # its base was the script as it is

    def _is_open(self, advice: Advice) -> bool:
        """Return whether advice is worth a trial now: it changes something, and its last trial does not hold any more.

        With the same recipe a trial is never repeated. After a change a verdict other than harmful counts only for
        the wall it was made at: less time in one phase is hidden behind another one that was longer.
        """
        if _in_effect(self.recipe, advice.changes):
            return False
        before = self._tried.get(_effect(advice.changes))
        if before is None:
            return True
        state, wall, number = before
        if state in _NEVER_AGAIN or number == len(self.taken):
            return False
        return state in ("PROVED", "NOT_APPLIED") or wall != self._wall

    def _pays(self, trial: Trial) -> bool:
        """Return whether a trial proved something that pays within the training."""
        late = (
            trial.break_even_steps is not None
            and self._steps is not None
            and trial.break_even_steps > self._steps
        )
        return trial.state == "PROVED" and trial.speedup is not None and not late

    def _least_s(self, candidates: int) -> float:
        """Return seconds until each of so many candidates can have a verdict."""
        return 2 * self._arm_s * (_EQUAL_PAIRS + _FIRST_LOOK * candidates)

    def _reserve_s(self) -> float:
        """Return seconds to keep for the trial of the whole recipe: it needs one once something is stacked.

        Its pairs have the script as it is in one arm, as those of the first round had: one more than the first look
        needs, since one may be dropped. What equal runs differ by is known from there.
        """
        return (_FIRST_LOOK + 1) * self._pair_s if self.taken else 0.0

    def _end(self, reason: str) -> Step:
        """Return the trial of the whole recipe where it is still to be made, else the end."""
        self._reason = reason
        if len(self.taken) > 1 and not self._is_confirmed:
            return Confirm(recipe=self.recipe, budget_s=max(self._left_s, self._reserve_s()))
        return self._finish(reason)

    def _finish(self, reason: str) -> Finish:
        """Return the end; a stack that was not confirmed is not claimed."""
        recipe = self.recipe
        if len(self.taken) > 1 and not self._is_confirmed:
            recipe = stacked((), self.taken[0][0].changes)
        return Finish(
            recipe=recipe, total=self._total, taken=tuple(trial for _, trial in self.taken), reason=reason
        )


def stacked(recipe: Recipe, changes: Recipe) -> Recipe:
    """Return ``recipe`` with ``changes`` on top: they take the place of what the same advice asked for before."""
    ids = {one.mitigation for one in changes}
    return (*(one for one in recipe if one.mitigation not in ids), *changes)


def _seconds_a_pair(trial: Trial) -> float:
    """Return seconds that a pair of ``trial`` took, those that did not count included; 0 where none was run."""
    runs = trial.pairs + sum(trial.dropped.values())
    return trial.seconds / runs if runs else 0.0


def _effect(changes: Recipe) -> Effect:
    """Return what changes do, whoever advised them."""
    return frozenset((one.override, frozenset(one.settings.items())) for one in changes)


def _in_effect(recipe: Recipe, changes: Recipe) -> bool:
    """Return whether a recipe makes all of ``changes`` already."""
    merged: dict[str, Mapping[str, float]] = {}
    for one in recipe:
        merged[one.override] = {**merged.get(one.override, {}), **one.settings}
    return all(
        one.override in merged and one.settings.items() <= merged[one.override].items() for one in changes
    )


def _sure(trial: Trial) -> float:
    """Return the speedup that a trial is sure of: the lower end of its interval."""
    return trial.speedup.low if trial.speedup is not None else 0.0
