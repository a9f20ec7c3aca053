"""Follows a running target: when to sample stacks, when enough is known, how to end it."""

from __future__ import annotations

import contextlib
import math
import platform
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..model.record import Failure, ProcessRecord, Stacks
from ..model.span import Kind
from ..store import TraceTail
from ..verify.plan import Pace
from .launch import Child
from .orders import OrderBook
from .stacks import StackSampler

_TICK_S = 0.2
_FOLLOWED = 16  # ranks followed while they run; all are read at the end
_LOOK_COST = 0.02  # share of one core the live analysis may use
_STACK_STEPS = 10
_STACK_S = (4.0, 10.0)  # window of stacks: at least, and at most
_LINK_S = 1.0  # of reductions between ranks, when the script is about to be stopped
_GRACE_S = 90.0  # for the script's finally blocks; a large checkpoint takes that long


class Look(Protocol):
    """What the watcher needs to know of the measurement so far (see ``analyze/progress.py``)."""

    @property
    def trainer_pid(self) -> int | None: ...
    @property
    def seen(self) -> int: ...
    @property
    def timed(self) -> int: ...
    @property
    def timed_s(self) -> float: ...
    @property
    def step_s(self) -> float: ...
    @property
    def largest(self) -> str: ...
    @property
    def share(self) -> float: ...
    @property
    def half_width(self) -> float: ...
    @property
    def updates(self) -> int: ...
    @property
    def updates_per_s(self) -> float: ...
    @property
    def pace(self) -> Pace: ...


class Stage(Protocol):
    """Something the agents do between the observed steps and the end: a closer look, an experiment."""

    @property
    def name(self) -> str:
        """Return the name of its order, and of what failed if it fails."""
        ...

    @property
    def limit_s(self) -> float:
        """Return after how many seconds without an end to its last order it is given up."""
        ...

    def order(self, look: Look) -> Mapping[str, Any] | None:
        """Return the details of its next order, None where there is nothing (more) to do in this run."""
        ...

    def is_done(self, records: Sequence[ProcessRecord]) -> bool:
        """Return whether all ranks have carried out its last order; called some times a second."""
        ...


LookAt = Callable[[Sequence[ProcessRecord], Sequence[Stacks]], Look]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to end the script.

    Attributes:
        steps: Most measured steps, once ``settle_s`` is over.
        seconds: Most seconds of measured steps.
        least_steps: Steps that are measured in any case.
        settle_s: Seconds of steps that are measured in any case: rare stalls (collections, checkpoints) need time to
            show, however fast the steps are.
        half_width: The share counts as known once half its interval is no wider (a fraction).
        full: Never end it.
        stacks: Sample Python stacks.
    """

    steps: int = 500
    seconds: float = 60.0
    least_steps: int = 30
    settle_s: float = 8.0
    half_width: float = 0.05
    full: bool = False
    stacks: bool = True


def _only_makes_batches(kinds: set[int]) -> bool:
    """Return whether spans are those of a loader worker.

    A training without workers makes batches too, and before its first backward there may be hundreds of spans, of
    collections while modules are imported; but it has begun to iterate by then.
    """
    loops = {int(kind) for kind in (Kind.ITER, Kind.NEXT, Kind.FORWARD)}
    return int(Kind.BATCH) in kinds and not kinds & loops


class Watcher:
    """Called a few times a second while the target runs."""

    def __init__(
        self,
        run: Path,
        child: Child,
        limits: Limits,
        look_at: LookAt,
        say: Callable[[str], None],
        ranks: bool,
        stages: Sequence[Stage] = (),
        link: bool = False,
        at_stop: Callable[[], None] | None = None,
    ) -> None:
        """Follow ``child``, whose agents write below ``run``; ``say`` prints one line.

        Once enough is measured ``stages`` run one after the other, then the script is stopped; with
        ``limits.full`` there are none. With ``link`` several ranks measure the link between them before they stop;
        where they do not, ``at_stop`` is called once nothing is timed any more.
        """
        self.run = run
        self.child = child
        self.limits = limits
        self.look_at = look_at
        self.say = say
        self.ranks = ranks
        self.link = link
        self.at_stop = at_stop
        self.stacks: list[Stacks] = []
        self.failures: list[Failure] = []
        self.stopped = False
        self.library_paths: tuple[str, ...] = ()
        self.cpu_s = 0.0
        self._tails: dict[str, TraceTail] = {}
        self._host = platform.node()
        self._elsewhere: set[int] = set()
        self._ranks = 0
        self._sampler: StackSampler | None = None
        self._sampler_since = (0.0, 0)
        self._sampled = not limits.stacks
        self._next_look = 0.0
        self._next_word = time.monotonic() + 5.0
        self._asked_at = 0.0
        self._reminders = 0
        self._orders = OrderBook(run)
        self._stages = [] if limits.full else list(stages)
        self._stage_ends = 0.0  # 0 while none is under way

    def follow(self) -> int:
        """Return the target's exit code once it has ended; look, sample and ask it to stop meanwhile."""
        while (code := self.child.wait(_TICK_S)) is None:
            if self._asked_at:
                self._insist()
            elif self._stage_ends:
                self._go_on()
            elif time.monotonic() >= self._next_look:
                begin = time.process_time()
                self._step()
                cost = time.process_time() - begin
                self._next_look = time.monotonic() + max(0.4, cost / _LOOK_COST)
        self._end_sampling()
        return code

    def _step(self) -> None:
        """Look once and act on it."""
        look = self.look_at(self._records(), self.stacks)
        if look.trainer_pid is None:
            return
        sampled = self._sampled  # where sampling ends now, ``look`` still counts the steps that were sampled
        self._sample(look)
        if not self.limits.full and sampled and self._is_enough(look):
            self._next_stage(look)
        elif time.monotonic() >= self._next_word and look.step_s:
            self._next_word = time.monotonic() + 5.0
            self.say(_describe(look))

    def _records(self) -> list[ProcessRecord]:
        """Return what the training processes wrote so far; workers are left for the end."""
        for path in self.run.glob("p*-*"):
            if path.name not in self._tails:
                self._tails[path.name] = TraceTail(path)
        records = []
        for tail in self._tails.values():
            if tail.trains is False:
                continue
            tail.poll()
            record = tail.record()
            if tail.trains is None and len(record.spans) > 200:
                kinds = set(record.spans.kind.tolist())
                tail.trains = bool(kinds & {int(Kind.OPTIMIZER), int(Kind.BACKWARD)})
                if not tail.trains and not _only_makes_batches(kinds):
                    tail.trains = None  # not clear yet: only loader workers are let go
                elif tail.trains and self._is_one_too_many(record):
                    tail.trains = False
                    continue
            records.append(record)
        return records

    def _is_one_too_many(self, record: ProcessRecord) -> bool:
        """Note a rank; return whether enough are followed: they step together, so that a few tell the pace of all."""
        if record.header.get("host", self._host) != self._host:
            self._elsewhere.add(record.pid)
        self._ranks += 1
        return self._ranks > _FOLLOWED

    def _sample(self, look: Look) -> None:
        """Run the window of stack samples: from the third step on, for some seconds and steps."""
        if self._sampled or look.seen < 3:
            return
        if look.trainer_pid in self._elsewhere:
            self._sampled = True
            self.failures.append(Failure(collector="stacks", reason="the first rank runs on another host"))
            return
        if self._sampler is None:
            assert look.trainer_pid is not None
            out = self.run / "stacks-0.json"
            self._sampler = StackSampler(look.trainer_pid, out, library_paths=self.library_paths)
            self._sampler_since = (time.monotonic(), look.seen)
            if not self._sampler.start():
                self._end_sampling()
            return
        since, seen = self._sampler_since
        elapsed, steps = time.monotonic() - since, look.seen - seen
        if (
            elapsed >= _STACK_S[1]
            or (elapsed >= _STACK_S[0] and steps >= _STACK_STEPS)
            or not self._sampler.running
        ):
            self._end_sampling()

    def _end_sampling(self) -> None:
        """End the stack window, if one is open."""
        sampler, self._sampler = self._sampler, None
        if sampler is None:
            return
        self._sampled = True
        found = sampler.stop()
        self.cpu_s += sampler.cpu_s
        if found is not None:
            self.stacks.append(found)
        elif sampler.failure:
            self.failures.append(Failure(collector="stacks", reason=sampler.failure))

    def _is_enough(self, look: Look) -> bool:
        """Return whether the answer is known or a limit is reached."""
        if look.timed_s >= self.limits.seconds:
            return True
        known = look.timed >= self.limits.least_steps and look.half_width <= self.limits.half_width
        return look.timed_s >= self.limits.settle_s and (known or look.timed >= self.limits.steps)

    def _next_stage(self, look: Look) -> None:
        """Give the next order of the first stage that has one; after the last stage end the script."""
        self._stage_ends = 0.0
        while self._stages:
            details = self._stages[0].order(look)
            if details is not None and self._give(self._stages[0].name, look, **details):
                self._stage_ends = time.monotonic() + self._stages[0].limit_s
                return
            self._stages.pop(0)
        self._ask(look)

    def _go_on(self) -> None:
        """See whether the stage under way has ended; one that takes too long is given up."""
        records = self._records()
        if self._stages[0].is_done(records):
            self._next_stage(self.look_at(records, self.stacks))
        elif time.monotonic() > self._stage_ends:
            stage = self._stages.pop(0)
            reason = f"not ended after {stage.limit_s:g} s"
            self.failures.append(Failure(collector=stage.name, reason=reason))
            self._next_stage(self.look_at(records, self.stacks))

    def _ask(self, look: Look) -> None:
        """Ask the agents to stop the script."""
        link = {"link_s": _LINK_S} if self.link and self._has_ranks(look) else {}
        if not self._give("stop", look, **link):
            self.limits = Limits(full=True)
            return
        self._asked_at = time.monotonic()
        self.stopped = True
        self.say(f"enough measured ({look.timed} steps); stopping the script as Ctrl-C would")
        if self.at_stop is not None and not link:
            with contextlib.suppress(OSError):  # whoever needs it then tries again, and says what went wrong
                self.at_stop()

    def _give(self, do: str, look: Look, **details: Any) -> bool:
        """Give an order: due at once, or with several ranks after a step that none of them has reached yet."""
        ahead = math.ceil(look.updates_per_s * 1.5) + 2 if self._has_ranks(look) else 0
        try:
            self._orders.give(do, look.updates + ahead, **details)
        except OSError as error:
            self.failures.append(Failure(collector=do, reason=f"the agents could not be asked: {error}"))
            return False
        return True

    def _has_ranks(self, look: Look) -> bool:
        """Return whether several processes train together: below a launcher, or started by the script itself."""
        return self.ranks or look.pace.ranks > 1

    def _insist(self) -> None:
        """Repeat the request to a script that goes on: Ctrl-C once more, then SIGTERM, then SIGKILL."""
        waited = time.monotonic() - self._asked_at
        ladder = (
            (_GRACE_S / 3, signal.SIGINT, "still running; pressing Ctrl-C once more"),
            (_GRACE_S, signal.SIGTERM, "still running; asking it to terminate"),
            (_GRACE_S * 1.5, signal.SIGKILL, "still running; ending it"),
        )
        if self._reminders < len(ladder) and waited > ladder[self._reminders][0]:
            _, number, text = ladder[self._reminders]
            self._reminders += 1
            self.say(text)
            self.child.send(number)


def _describe(look: Look) -> str:
    """Return one line on how far the measurement has come."""
    step = f"{look.step_s * 1e3:.3g} ms"
    if not math.isfinite(look.half_width):
        return f"{look.seen} steps seen, about {step} each; settling"
    share = f"{look.largest} {look.share * 100:.0f} % (±{look.half_width * 100:.0f})"
    return f"{look.timed} steps measured, about {step} each; {share}"
