"""Tries changes on the unmodified script in pairs of fresh processes, and keeps what is known after each pair."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BottleneckError
from ..model.arm import Arm
from ..model.trial import Change, LossComparison, Trial
from ..verify.losses import compare_losses
from ..verify.pairs import Measured, measure, result
from ..verify.protocol import Outcome, Progress, Result, Session, Task
from ..verify.trials import Pair
from ..verify.warm_up import Length, break_even_steps, plan_steps
from .devices import DeviceReader
from .target import Target
from .trial import Conditions, run_arm

_PATIENCE = 5.0  # an arm may take so many times what is expected, and a minute: compiling, a slower change
_PATIENCE_S = 60.0
_SHARE = 0.04  # of the budget one process may take: 12 pairs fit, enough for the third look at one change
_EQUAL_PAIRS = 2
_LEAST_PAIRS = 5  # two equal ones and three of a change: with fewer there is no verdict
# The first look comes early: over simulated trials a gain of 20 % is then proved in 3.8 pairs instead of 5, and equal
# runs are told apart in 0.6 % of trials (tests/verify).
_LOOKS = (3, 5, 8, 12, 20)
_UNREPEATABLE = (
    "The losses differ, as do those of two runs without any change: the script does not repeat itself."
)


# Stands for the process that was not run, as the other of its pair failed.
_NOT_RUN = Arm(
    start_ns=0, ends_ns=np.empty(0, dtype=np.int64), losses=(), told=(), pids=(), system=(), seconds=0.0
)


class NotMeasurable(BottleneckError):
    """Trials of this script can't be had: the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something to try: one advice, or several together."""

    mitigations: tuple[str, ...]
    changes: tuple[Change, ...]

    @property
    def name(self) -> str:
        """Return what it is called in a session."""
        return "+".join(self.mitigations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the script from the run that gave the advice.

    Attributes:
        step_s: Mean seconds of an optimizer step.
        start_s: From the start of the process to its first step.
        queue: Batches its loader has ready before the first step.
        every: Optimizer steps after which something recurs: epochs, checkpoints, evaluations.
        folder: Where it was started.
    """

    step_s: float
    start_s: float
    queue: int = 0
    every: tuple[int, ...] = ()
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Equal:
    """What pairs of two equal runs showed: the noise, and whether the script repeats its losses.

    Attributes:
        pairs: Seconds per step of both.
        arms: The first pair, for its losses.
    """

    pairs: tuple[Pair, ...] = ()
    arms: tuple[Arm, Arm] | None = None


@dataclass(slots=True)
class _Seen:
    """What the pairs of one candidate showed beside their times."""

    measured: list[Measured] = field(default_factory=list)
    arms: tuple[Arm, Arm] | None = None  # the first pair that counts, for its losses


class Trials:
    """One session of trials of one script."""

    def __init__(
        self,
        target: Target,
        where: Path,
        candidates: Sequence[Candidate],
        known: Known,
        budget_s: float,
        seed: int = 0,
        base: Sequence[Change] = (),
        equal: Equal | None = None,
    ) -> None:
        """Prepare; ``where`` is a folder for the processes' records, removed again but for those that failed.

        ``base`` are changes that both arms carry: what was proved before. ``equal`` are the equal runs of an earlier
        session with the same ``base`` and ``known``; then none are made.

        Raises:
            NotMeasurable: The budget has no time for a pair.
        """
        self.target, self.where, self.known, self.base = target, where, known, tuple(base)
        self.candidates = {one.name: one for one in candidates}
        planned = plan_steps(
            known.step_s,
            fixed_s=known.start_s,
            budget_s=max(budget_s * _SHARE, known.start_s + 40 * known.step_s),
            queue=known.queue,
            every=known.every,
        )
        if isinstance(planned, str):
            raise NotMeasurable(planned)
        self.length: Length = planned
        equal = equal or Equal()
        least = _LEAST_PAIRS - min(len(equal.pairs), _EQUAL_PAIRS)
        least_s = 2 * least * planned.seconds
        if least_s > budget_s:
            raise NotMeasurable(
                f"a process of this script takes {planned.seconds:.0f} s to measure, and a verdict needs "
                f"{2 * least} of them: give --budget {math.ceil(least_s / 60)}m or more"
            )
        self.session = Session(
            list(self.candidates),
            budget_s=budget_s,
            arm_s=planned.seconds,
            seed=seed,
            looks=_LOOKS,
            equal_pairs=equal.pairs,
        )
        self._seen: dict[str | None, _Seen] = {name: _Seen() for name in self.candidates}
        self._seen[None] = _Seen(arms=equal.arms)
        self._count = 0
        reader = DeviceReader()
        self.devices = None if reader.reason else reader

    def run(
        self, tell: Callable[[Progress, Task | None], None], keep: Callable[[Sequence[Trial]], None]
    ) -> None:
        """Run pairs until all is known or the budget is spent; ``keep(trials)`` is called after each.

        Raises:
            KeyboardInterrupt: The user pressed Ctrl-C; what was found until then is kept.
        """
        try:
            while (task := self.session.next()) is not None:
                tell(self.session.progress(), task)
                self.session.add(task, self._pair(task))
                keep(self.trials())
        except KeyboardInterrupt:
            self.session.stop()
            keep(self.trials())
            raise
        tell(self.session.progress(), None)
        keep(self.trials())

    def equal(self) -> Equal:
        """Return what equal runs showed, for another session with the same ``base`` and ``known``."""
        return Equal(pairs=self.session.equal_pairs(), arms=self._seen[None].arms)

    def sites(self) -> tuple[Mapping[str, Any], ...]:
        """Return where the script's calls were changed, as the overrides of the first counted pairs told."""
        arms = [seen.arms[1] for seen in self._seen.values() if seen.arms is not None]
        return tuple(one for arm in arms for one in arm.applied)

    def trials(self) -> tuple[Trial, ...]:
        """Return what is known of each candidate so far."""
        return tuple(self._trial(one) for one in self.session.outcomes())

    def _pair(self, task: Task) -> Result:
        """Run both processes of a pair."""
        changes = self.candidates[task.candidate].changes if task.candidate is not None else ()
        wanted = [(self.base, task.padding[0]), ((*self.base, *changes), task.padding[1])]
        found: dict[int, Arm] = {}
        for place in (1, 0) if task.arm_first else (0, 1):
            found[place] = self._arm(wanted[place][0], wanted[place][1], task)
            if found[place].problem:
                break
        base, arm = (found.get(place, _NOT_RUN) for place in (0, 1))
        measured = (
            None
            if base.problem or arm.problem
            else measure(base, arm, changes, self.known.queue, self.length.every)
        )
        seen = self._seen[task.candidate]
        if measured is not None:
            seen.measured.append(measured)
            seen.arms = seen.arms or (base, arm)
        return result(base, arm, changes, measured)

    def _arm(self, changes: Sequence[Change], padding: int, task: Task) -> Arm:
        """Run one process."""
        self._count += 1
        folder = self.where / f"{self._count:03d}-{'arm' if changes else 'base'}"
        length = self.length
        conditions = Conditions(
            steps=length.warm * task.stretch + length.measured,
            seed=task.seed,
            padding=padding,
            limit_s=_PATIENCE * length.seconds * task.stretch + _PATIENCE_S,
            folder=self.known.folder,
        )
        try:
            arm = run_arm(self.target, folder, changes, conditions, self.devices)
        except KeyboardInterrupt:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        if not arm.problem:
            shutil.rmtree(folder, ignore_errors=True)
        return arm

    def _trial(self, outcome: Outcome) -> Trial:
        """Return what is known of one candidate."""
        candidate, seen = self.candidates[outcome.candidate], self._seen[outcome.candidate]
        judged = outcome.judged
        about: dict[str, Any] = {}
        if judged is not None and outcome.pairs:
            base_s, arm_s = (float(np.median(side)) for side in zip(*outcome.pairs, strict=True))
            longer_s = float(np.median([one.longer_s for one in seen.measured]))
            about = {
                "speedup": judged.speedup,
                "level": judged.level,
                "least": judged.least,
                "noise": judged.noise,
                "base_s": base_s,
                "arm_s": arm_s,
                "warm_up_s": longer_s,
                "break_even_steps": break_even_steps(base_s, arm_s, longer_s),
                "losses": self._losses(seen, candidate.changes),
            }
        return Trial(
            mitigations=candidate.mitigations,
            changes=candidate.changes,
            state=outcome.state,
            pairs=len(outcome.pairs),
            dropped=outcome.dropped,
            reason=outcome.reason,
            seconds=outcome.seconds,
            **about,
        )

    def _losses(self, seen: _Seen, changes: Sequence[Change]) -> LossComparison | None:
        """Return what the change did to the losses, beside what two equal runs differ by."""
        equal = self._seen[None].arms
        if seen.arms is None:
            return None
        base, arm = seen.arms
        found = compare_losses(
            base.losses, arm.losses, reorders=any(one.override == "loader" for one in changes)
        )
        if found.relation == "identical" or equal is None:
            return found
        if compare_losses(equal[0].losses, equal[1].losses).relation == "identical":
            return found
        return replace(found, relation="unknown", text=_UNREPEATABLE)
