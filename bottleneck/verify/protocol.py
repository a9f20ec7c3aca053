"""What to run next in a session of paired trials, and what is known so far. Pure: seconds come with the results."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .disturbance import Surroundings, disturbed, too_noisy
from .trials import LOOKS, Judged, Noise, Pair, judge, noise_of

State = Literal["PROVED", "REFUTED", "HARMFUL", "UNDECIDED", "NOT_APPLIED", "FAILED"]

_EQUAL_PAIRS = 2  # A/A pairs before anything else (causal.md (c))
_FEWEST = 3  # pairs: a candidate is not begun where fewer would fit, since no look is taken before
_PRECISE, _ENOUGH = 0.10, 5  # a proved gain is to be known within 10 %, or as well as five pairs tell
_PADDING = (
    4096  # bytes: environment sizes within a page move the stack, and that alone moves times (Mytkowicz'09)
)
_UNSETTLED = (
    3  # times in a row that warm-up was not over, each run twice as long: such a script does not settle
)
_BASE_FAILS = 2  # times in a row: then it is not bad luck
SETTLING = "warm-up was not over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One pair of processes to run, one after the other.

    Attributes:
        candidate: What the second arm tries; None in an A/A pair, whose arms are equal.
        arm_first: Run the arm before the base.
        padding: Length of a dummy environment variable in (base, arm): what depends on addresses becomes noise.
        seed: For both alike.
        stretch: Run as many times the usual steps for warm-up: once it was not over.
    """

    candidate: str | None
    arm_first: bool
    padding: tuple[int, int]
    seed: int
    stretch: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a pair.

    Attributes:
        seconds: What both processes took, start-up included.
        base_s: Seconds per step over the same steps as ``arm_s``; None where it was not to be had.
        arm_s: Of the arm.
        settled: Warm-up was over in both.
        base: What the machine did meanwhile.
        arm: The same for the arm.
        base_failed: Why the script failed without the changes, or "".
        arm_failed: Why it failed with them.
        refused: Why a change was not made, or "".
    """

    seconds: float
    base_s: float | None = None
    arm_s: float | None = None
    settled: bool = True
    base: Surroundings | None = None
    arm: Surroundings | None = None
    base_failed: str = ""
    arm_failed: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known of one candidate.

    Attributes:
        candidate: Its name.
        state: UNDECIDED while nothing else is known.
        judged: What its pairs say; None without one that counts.
        pairs: Seconds per step (base, arm) of those, in the order they were run.
        dropped: Pairs that don't count, by reason.
        reason: Why there is no verdict; "" where there is one, or one is still sought.
        seconds: What its pairs took, dropped ones included.
    """

    candidate: str
    state: State
    judged: Judged | None
    pairs: tuple[Pair, ...]
    dropped: Mapping[str, int]
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a session is.

    Attributes:
        fraction: Of the work, 0-1: the larger of the budget's used share and that of candidates done.
        done: Candidates that are through.
        total: Candidates.
        states: Candidates by state; those without a verdict are UNDECIDED.
        pairs: Pairs that count, A/A pairs included.
        dropped: Pairs that don't.
        left_s: Budget left.
    """

    fraction: float
    done: int
    total: int
    states: Mapping[str, int]
    pairs: int
    dropped: int
    left_s: float


@dataclass(slots=True)
class _Trial:
    """One candidate on its way, or the A/A pairs (name None)."""

    name: str | None
    pairs: list[Pair] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    state: State = "UNDECIDED"
    judged: Judged | None = None
    reason: str = ""
    over: bool = False
    seconds: float = 0.0
    runs: int = 0
    stretch: int = 1
    unsettled: int = 0
    base_fails: int = 0


class Session:
    """Trials of some candidates within one budget of time.

    Rounds by looks: each candidate is taken to its first look, in the order given, then those without a verdict to
    the second, and so on. So verdicts that are easily had come first, no hard one eats the time of all others, and
    whenever it is stopped all that was found stands.

        session = Session(["more_workers"], budget_s=600, arm_s=9)
        while task := session.next():
            session.add(task, run(task))
        session.outcomes()
    """

    def __init__(
        self,
        candidates: Sequence[str],
        *,
        budget_s: float,
        arm_s: float,
        seed: int = 0,
        looks: Sequence[int] = LOOKS,
        equal_pairs: Sequence[Pair] = (),
    ) -> None:
        """Prepare.

        Args:
            candidates: Names, the most promising for its cost first.
            budget_s: Time for everything.
            arm_s: Expected seconds of one process.
            seed: Of the order within pairs and all else that is drawn.
            looks: Pairs after which a verdict is looked for.
            equal_pairs: A/A pairs of an earlier session on this machine; then none are run.

        Raises:
            ValueError: Two candidates have the same name.
        """
        if len(set(candidates)) != len(candidates):
            raise ValueError("two candidates have the same name")
        self._equal = _Trial(None, pairs=list(equal_pairs))
        self._trials = [_Trial(name) for name in candidates]
        self._budget_s, self._arm_s, self._looks = budget_s, arm_s, tuple(looks)
        self._random = random.Random(seed)
        self._spent_s = 0.0
        self._disturbed: Counter[str] = Counter()
        self._ended = not candidates

    def next(self) -> Task | None:
        """Return what to run; None when nothing is left to do, or no time for it."""
        trial = None if self._ended else self._choose()
        if trial is None:
            self._end(_no_time(self._disturbed))
            return None
        draw = self._random
        return Task(
            candidate=trial.name,
            arm_first=draw.random() < 0.5,
            padding=(draw.randrange(_PADDING), draw.randrange(_PADDING)),
            seed=draw.randrange(2**31),
            stretch=max(trial.stretch, self._equal.stretch),
        )

    def add(self, task: Task, result: Result) -> None:
        """Note what became of ``task``."""
        trial = next(one for one in (self._equal, *self._trials) if one.name == task.candidate)
        self._spent_s += result.seconds
        trial.seconds += result.seconds
        trial.runs += 1
        if self._failed(trial, result) or self._left_out(trial, result):
            return
        assert result.base_s is not None and result.arm_s is not None  # _failed has seen to it
        trial.unsettled = trial.base_fails = 0
        trial.pairs.append((result.base_s, result.arm_s))
        if trial.name is None:
            return
        self._judge(trial, ended=False)
        trial.over = _is_over(trial)

    def stop(self, reason: str = "stopped by the user") -> None:
        """End the session as it is.

        No last look is taken: a user who stops when the numbers please would find more than there is. What the
        signs of the pairs prove stands at any time.
        """
        if not self._ended:
            self._end(reason, look=False)

    def noise(self) -> Noise:
        """Return what the A/A pairs differ by."""
        return noise_of(self._equal.pairs)

    def equal_pairs(self) -> tuple[Pair, ...]:
        """Return seconds per step of the A/A pairs that count."""
        return tuple(self._equal.pairs)

    def outcomes(self) -> tuple[Outcome, ...]:
        """Return what is known of each candidate, in the order given."""
        return tuple(_outcome(trial) for trial in self._trials)

    def progress(self) -> Progress:
        """Return how far the session is."""
        done = sum(trial.over for trial in self._trials)
        total = len(self._trials)
        every = (self._equal, *self._trials)
        used = self._spent_s / self._budget_s if self._budget_s > 0 else 1.0
        return Progress(
            fraction=1.0 if self._ended else min(1.0, max(used, done / total)),
            done=done,
            total=total,
            states=Counter(trial.state for trial in self._trials),
            pairs=sum(len(trial.pairs) for trial in every),
            dropped=sum(trial.dropped.total() for trial in every),
            left_s=max(0.0, self._budget_s - self._spent_s),
        )

    def _choose(self) -> _Trial | None:
        """Return whose pair comes next, or None where no pair fits what is left."""
        if len(self._equal.pairs) < _EQUAL_PAIRS:
            needed = (
                _EQUAL_PAIRS - len(self._equal.pairs) + _FEWEST
            )  # without a candidate after them they tell nothing
            return self._equal if self._fits(self._equal, needed) else None
        waiting = [trial for trial in self._trials if not trial.over]
        for look in self._looks:
            for trial in waiting:
                begun = len(trial.pairs)
                if begun < look and self._fits(trial, max(1, _FEWEST - begun)):
                    return trial
        return None

    def _fits(self, trial: _Trial, pairs: int) -> bool:
        known = trial if trial.runs else self._equal
        pair_s = known.seconds / known.runs if known.runs else 2 * self._arm_s
        return self._spent_s + pairs * pair_s <= self._budget_s

    def _failed(self, trial: _Trial, result: Result) -> bool:
        """Note a failure; return whether there was one. What the base does is not the candidate's fault."""
        equal = trial.name is None
        if result.base_failed or (equal and result.arm_failed):
            trial.base_fails += 1
            trial.dropped["the script failed without any change"] += 1
            if trial.base_fails >= _BASE_FAILS:
                self._end(f"the script failed without any change: {result.base_failed or result.arm_failed}")
        elif result.refused or result.arm_failed:
            trial.state = "NOT_APPLIED" if result.refused else "FAILED"
            trial.reason, trial.over = result.refused or result.arm_failed, True
        elif result.base_s is None or result.arm_s is None:
            self._unsettle(trial)
        else:
            return False
        return True

    def _left_out(self, trial: _Trial, result: Result) -> bool:
        """Note a pair that does not count and is to be run again; return whether it is one."""
        if not result.settled:
            self._unsettle(trial)
            return True
        reason = disturbed(result.base, result.arm) if result.base and result.arm else None
        if reason is None:
            return False
        trial.dropped[reason] += 1
        self._disturbed[reason] += 1
        noisy = too_noisy(sum(len(one.pairs) for one in (self._equal, *self._trials)), self._disturbed)
        if noisy:
            self._end(noisy)
        return True

    def _unsettle(self, trial: _Trial) -> None:
        trial.dropped[SETTLING] += 1
        trial.unsettled += 1
        trial.stretch *= 2
        if trial.unsettled >= _UNSETTLED:
            reason = f"{SETTLING} in {trial.unsettled} pairs in a row"
            if trial.name is None:
                self._end(reason)
            trial.reason, trial.over = reason, True

    def _end(self, reason: str, look: bool = True) -> None:
        """Close what is open, with a last look at what there is."""
        self._ended = True
        for trial in self._trials:
            if trial.over:
                continue
            if trial.pairs and look:
                self._judge(trial, ended=True)
            trial.over = True
            if trial.state == "UNDECIDED":
                trial.reason = reason

    def _judge(self, trial: _Trial, ended: bool) -> None:
        found = judge(trial.pairs, self.noise(), max(1, len(self._trials)), looks=self._looks, ended=ended)
        if (
            trial.state == "PROVED"
        ):  # that stands; more pairs narrow the interval, or one bad pair says nothing
            if found.speedup is None or found.speedup.low <= 1 + found.margin:
                return
        else:
            trial.state = found.state
        trial.judged = found


def _no_time(disturbed: Counter[str]) -> str:
    """Return why a session ends with its budget: pairs that did not count have used it up, too."""
    reason = "the budget had no time for more pairs"
    if not disturbed:
        return reason
    most, _ = disturbed.most_common(1)[0]
    return f"{reason}: {disturbed.total()} did not count, mostly since {most}"


def _is_over(trial: _Trial) -> bool:
    """Return whether more pairs would change nothing; a proved gain is measured on until it is known well."""
    judged = trial.judged
    if judged is None or judged.speedup is None or trial.state != "PROVED":
        return judged is not None and judged.final
    return len(trial.pairs) >= _ENOUGH or judged.speedup.high <= judged.speedup.low * (1 + _PRECISE) ** 2


def _outcome(trial: _Trial) -> Outcome:
    assert trial.name is not None
    reason = trial.reason
    if not reason and trial.over and trial.state == "UNDECIDED":
        reason = "after the last look the interval still holds both a gain and none"
    return Outcome(
        candidate=trial.name,
        state=trial.state,
        judged=trial.judged,
        pairs=tuple(trial.pairs),
        dropped=dict(trial.dropped),
        reason=reason,
        seconds=trial.seconds,
    )
