"""Ceilings: one resource after the other is taken away for some blocks of steps, after what was observed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..model.record import Failure, ProcessRecord
from ..verify.blocks import blocks_of, step_pairs
from ..verify.plan import (
    BOTTLENECK,
    NOTHING,
    SLOWER,
    STALLS,
    Lengths,
    Pace,
    lengths,
    settled,
    suspects,
    worth_asking,
)
from ..verify.statistics import Comparison, compare
from .watch import Look

BUDGET_S = 60.0  # for all experiments together; the command promises no more
_LATE_S = 2.0  # the agents read orders, and we their answers, a few times a second; a step ends before either
_SURE = 0.8  # of the time left may be planned: steps can become slower than they were
_ALONE_S = 1.0  # of the loader at full speed
_SEEN = 4  # steps from which the agent learns which loader trains
_ADDED = 0.10  # of a step: enough to be seen through noise, little enough to stay below the same limit


class Ceilings:
    """The stage that takes resources away, the most suspicious first, until the answer or the time is out."""

    name = "ablate"

    def __init__(
        self,
        run: Path,
        budget_s: float,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Spend at most ``budget_s`` seconds; what the script saves meanwhile goes below ``run``."""
        self._scratch = str(run / "scratch")
        self._budget_s = budget_s
        self._say = say
        self._clock = clock
        self._began: float | None = None
        self._suspects: list[tuple[str, float]] = []
        self._arm = ""
        self._given: dict[str, int] = {}
        self._ended: list[Mapping[str, Any]] = []
        self._found: dict[str, Comparison] = {}
        self._ranks = 1
        self.failures: list[Failure] = []

    @property
    def limit_s(self) -> float:
        """Return how long the last order may take: what is left, for steps may have become slower."""
        return max(1.0, self._left())

    def order(self, look: Look) -> Mapping[str, Any] | None:
        """Return the next comparison, None once the answer is known or the time is spent."""
        pace = look.pace
        if pace.step_s <= 0:
            return None
        if self._began is None:
            self._began, self._ranks = self._clock(), pace.ranks
            self._suspects = suspects(pace)
        last = self._found.get(self._arm)
        if last is not None:  # the machine may have become slower or faster since
            pace = replace(pace, step_s=last.base_s * pace.updates)
        return self._again(pace) or self._next(pace)

    def is_done(self, records: Sequence[ProcessRecord]) -> bool:
        """Return whether every rank has carried out the last order."""
        told = [[e.data for e in p.told("ablated") if e.data.get("arm") == self._arm] for p in records]
        ended = [events for events in told if len(events) >= self._given.get(self._arm, 1)]
        if len(ended) < self._ranks and not _unheard(records):
            return False
        self._ended = [events[-1] for events in ended]
        self._take(records)
        return True

    def _left(self) -> float:
        """Return the seconds that are left of the budget, less what the last answer takes to arrive."""
        return self._budget_s - _LATE_S - (self._clock() - self._began if self._began is not None else 0.0)

    def _take(self, records: Sequence[ProcessRecord]) -> None:
        """Keep what the blocks of the arm say so far."""
        if not self._ended or any(event.get("state") != "done" for event in self._ended):
            self._found.pop(self._arm, None)
            return
        spans, blocks = next(
            ((p.spans, blocks) for p in records if (blocks := blocks_of(p.spans).get(self._arm))), (None, [])
        )
        if spans is None:
            return
        found = compare(step_pairs(blocks, spans, lambda block: block.step_s, self._arm in STALLS))
        if found is not None:
            self._found[self._arm] = found

    def _again(self, pace: Pace) -> dict[str, Any] | None:
        """Return one more round of the last arm where its answer is not settled yet."""
        found = self._found.get(self._arm)
        if found is None or self._arm not in pace.shares or settled(found):
            return None
        wanted = lengths(self._arm, pace, _SURE * self._left(), more=True)
        return None if isinstance(wanted, str) else self._give(self._arm, wanted)

    def _next(self, pace: Pace) -> dict[str, Any] | None:
        """Return the first round of the next suspect; what can't be compared is noted with the reason."""
        slower = self._slower(pace)
        if slower is not None:
            return slower
        while self._suspects:
            arm, share = self._suspects.pop(0)
            most = max((found.share for found in self._found.values()), default=0.0)
            if not worth_asking(arm, share, most, pace.ahead):
                continue
            wanted = lengths(arm, pace, _SURE * self._left())
            if isinstance(wanted, Lengths):
                self._say(f"experiment: {wanted.seconds:.0f} s of steps with and without {arm}")
                return self._give(arm, wanted)
            self.failures.append(Failure(collector=f"ceiling.{arm}", reason=wanted))
            self._say(f"experiment: {arm} is not taken away: {wanted}")
        return self._alone(pace)

    def _slower(self, pace: Pace) -> dict[str, Any] | None:
        """Return the order to make batches a little slower, where the loop makes them and can't do without."""
        refused = self._arm == "input" and "input" not in self._found
        if not refused or not pace.loads or pace.ahead or pace.shares.get("input", 0.0) < NOTHING:
            return None
        wanted = lengths(SLOWER, pace, _SURE * self._left())
        if isinstance(wanted, str):
            return None
        self._say(f"experiment: {wanted.seconds:.0f} s of steps with batches made a little slower")
        return self._give(SLOWER, wanted) | {"eps_s": round(_ADDED * pace.step_s, 6)}

    def _alone(self, pace: Pace) -> dict[str, Any] | None:
        """Return the loader alone, once, where the input limits the step."""
        found, least = self._found.get("input"), max(10, 3 * pace.ahead)
        seconds = max(_ALONE_S, least * pace.step_s)
        asked = "loader_alone" in self._given or self._ranks > 1
        if asked or found is None or found.share < BOTTLENECK or 2 * seconds > self._left():
            return None
        self._say("experiment: the loader alone, as fast as it can")
        count = max(least, round(_ALONE_S / pace.step_s))
        alone = Lengths(block=count, wash=_SEEN, pairs=1, seconds=2 * seconds)
        return self._give("loader_alone", alone)

    def _give(self, arm: str, wanted: Lengths) -> dict[str, Any]:
        """Return the order for ``arm``."""
        self._arm = arm
        self._given[arm] = self._given.get(arm, 0) + 1
        return {
            "arm": arm,
            "block": wanted.block,
            "pairs": wanted.pairs,
            "wash": wanted.wash,
            "budget_s": round(max(0.0, min(2 * wanted.seconds, self._left())), 3),
            "scratch": self._scratch,
        }


def _unheard(records: Sequence[ProcessRecord]) -> bool:
    """Return whether the agent aboard knows nothing of experiments."""
    told = (event.data for p in records for event in p.told("failure"))
    return any(data.get("collector") == "orders" and "ablate" in str(data.get("reason")) for data in told)
