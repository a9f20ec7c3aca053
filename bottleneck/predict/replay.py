"""The order of events of a training step, replayed: loader, host, device, ranks.

Source: torch/utils/data/dataloader.py (2.13). A loader with W workers and prefetch factor P keeps W*P batches
in flight and asks for a new one when it hands one over. In order, batch i goes to worker i mod W; out of
order, it goes to the next worker in turn that has fewer than P. A new epoch begins with an empty queue, whether
or not its workers are new.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The settings that decide who waits for whom.

    Attributes:
        workers: Worker processes; 0 makes batches in the loop.
        prefetch: Batches each worker may be ahead.
        in_order: Batches come in the order of the sampler.
        receive_s: Time the loop needs to take over a batch that is ready.
        batches: Batches in one step; 0 without a loader.
        epoch_steps: Steps in an epoch; 0 for one without end.
        start_s: Time to begin an epoch.
        fresh_s: What the first batch of each worker takes longer in every epoch.
        synced: The host waits for the device in every step.
        ahead: Steps the host may be ahead of the device.
    """

    workers: int = 0
    prefetch: int = 2
    in_order: bool = True
    receive_s: float = 0.0
    batches: int = 1
    epoch_steps: int = 0
    start_s: float = 0.0
    fresh_s: float = 0.0
    synced: bool = False
    ahead: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """The times of one rank, one per step but for ``making_s``; each is used again from its start when it ends.

    Attributes:
        making_s: Time to make a batch, one per batch.
        before_s: Host time from the batch to the first work for the device.
        issue_s: Host time while the device has work of this step: forward, backward, optimizer.
        after_s: Host time from there to the next batch.
        meet_s: Time that the exchange with other ranks takes once all are there.
        device_s: Device time.
    """

    making_s: Sequence[float] = (0.0,)
    before_s: Sequence[float] = (0.0,)
    issue_s: Sequence[float] = (0.0,)
    after_s: Sequence[float] = (0.0,)
    meet_s: Sequence[float] = (0.0,)
    device_s: Sequence[float] = (0.0,)


class _Loader(Protocol):
    """Hands over batches."""

    def begin(self, now: float) -> None:
        """Begin an epoch."""

    def take(self, asked: float) -> float:
        """Return when the loop that asks at ``asked`` has the next batch."""


class _NoLoader:
    """The loop makes its batches itself: their time is its own."""

    def begin(self, now: float) -> None:
        """Do nothing."""

    def take(self, asked: float) -> float:
        """Return at once."""
        return asked


class _InLoop:
    """No workers: a batch is made when it is asked for."""

    def __init__(self, making: Sequence[float], rules: Rules) -> None:
        self.making, self.receive, self.count = making, rules.receive_s, 0

    def begin(self, now: float) -> None:
        """Do nothing."""

    def take(self, asked: float) -> float:
        """Return the end of making it."""
        seconds = self.making[self.count % len(self.making)]
        self.count += 1
        return asked + seconds + self.receive


class _InOrder:
    """Workers in turn, batches in order: e_i = c_(i-N), f_i = max(f_(i-W), e_i) + s_i, c_i = max(r_i, f_i) + h."""

    def __init__(self, making: Sequence[float], rules: Rules) -> None:
        self.making, self.receive, self.fresh = making, rules.receive_s, rules.fresh_s
        self.workers, self.flying = rules.workers, rules.workers * rules.prefetch
        self.taken: list[float] = []  # when the loop had batch i
        self.done: list[float] = []  # when its worker had finished it
        self.first, self.start = 0, 0.0

    def begin(self, now: float) -> None:
        """Start with nothing in flight."""
        self.first, self.start = len(self.taken), now

    def take(self, asked: float) -> float:
        """Return when batch i is there, in order."""
        i = len(self.taken)
        place = i - self.first
        sent = self.taken[i - self.flying] if place >= self.flying else self.start
        free = self.done[i - self.workers] if place >= self.workers else self.start + self.fresh
        done = (free if free > sent else sent) + self.making[i % len(self.making)]
        self.done.append(done)
        self.taken.append((asked if asked > done else done) + self.receive)
        return self.taken[-1]


class _AnyOrder:
    """Workers in turn while they have room, whichever batch is ready first."""

    def __init__(self, making: Sequence[float], rules: Rules) -> None:
        self.making, self.receive, self.fresh = making, rules.receive_s, rules.fresh_s
        self.workers, self.prefetch = rules.workers, rules.prefetch
        self.count = self.turn = 0
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """Start with every worker's queue full and nothing done."""
        self.free = [now + self.fresh] * self.workers
        self.held = [0] * self.workers
        self.ready: list[tuple[float, int]] = []
        for _ in range(self.workers * self.prefetch):
            self._send(now)

    def _send(self, now: float) -> None:
        """Give the next batch to the next worker in turn that has room."""
        while self.held[self.turn % self.workers] >= self.prefetch:
            self.turn += 1
        worker = self.turn % self.workers
        self.turn += 1
        done = max(self.free[worker], now) + self.making[self.count % len(self.making)]
        self.count += 1
        self.held[worker] += 1
        self.free[worker] = done
        heappush(self.ready, (done, worker))

    def take(self, asked: float) -> float:
        """Return when the batch that is ready first is there."""
        done, worker = heappop(self.ready)
        taken = max(asked, done) + self.receive
        self.held[worker] -= 1
        self._send(taken)
        return taken


def _loader(making: Sequence[float], rules: Rules) -> _Loader:
    """Return the loader of one rank."""
    if rules.batches < 1:
        return _NoLoader()
    if rules.workers < 1:
        return _InLoop(making, rules)
    return (_InOrder if rules.in_order else _AnyOrder)(making, rules)


class _Rank:
    """One rank while it runs: its loader, and when its device ends each step."""

    def __init__(self, times: Times, rules: Rules) -> None:
        self.times, self.rules = times, rules
        self.loader = _loader(times.making_s, rules)
        self.now = 0.0
        self.device_ends: list[float] = []

    def begin(self) -> None:
        """Begin an epoch."""
        self.now += self.rules.start_s
        self.loader.begin(self.now)

    def compute(self, step: int) -> None:
        """Run a step from its first batch to the end of the optimizer, on host and device."""
        times, rules = self.times, self.rules
        if len(self.device_ends) >= rules.ahead:  # the queue of launches is full until an older step ends
            self.now = max(self.now, self.device_ends[-rules.ahead])
        parts = max(1, rules.batches)
        before = times.before_s[step % len(times.before_s)] / parts
        issue = times.issue_s[step % len(times.issue_s)] / parts
        issued = 0.0
        for part in range(parts):
            self.now = self.loader.take(self.now) + before
            issued = self.now if part == 0 else issued
            self.now += issue
        self._device(issued, times.device_s[step % len(times.device_s)])

    def _device(self, issued: float, seconds: float) -> None:
        """Let the device work off the step, and the host wait for it where it does."""
        if seconds <= 0:
            return
        earlier = self.device_ends[-1] if self.device_ends else 0.0
        self.device_ends.append(max(earlier, issued) + seconds)
        if self.rules.synced:
            self.now = max(self.now, self.device_ends[-1])


def step_ends(ranks: Sequence[Times], rules: Rules, steps: int) -> list[float]:
    """Return when the first of ``ranks`` ends each of ``steps`` steps, in seconds from the start.

    Several ranks wait for the last one in each step, and then exchange what they have.
    """
    running = [_Rank(times, rules) for times in ranks]
    ends = []
    for step in range(steps):
        fresh = step == 0 or (rules.epoch_steps > 0 and step % rules.epoch_steps == 0)
        for rank in running:
            if fresh:
                rank.begin()
            rank.compute(step)
        together = max(rank.now for rank in running)
        for rank in running:
            times = rank.times
            rank.now = together + times.meet_s[step % len(times.meet_s)]
            rank.now += times.after_s[step % len(times.after_s)]
        ends.append(running[0].now)
    return ends


def mean_step(ranks: Sequence[Times], rules: Rules, steps: int) -> float:
    """Return the mean step over ``steps`` steps, in seconds.

    Without epochs the same steps run once before, so that the queue has found its length; with them ``steps``
    is to be a multiple of ``rules.epoch_steps``.
    """
    if rules.epoch_steps > 0:
        return step_ends(ranks, rules, steps)[-1] / steps
    ends = step_ends(ranks, rules, 2 * steps)
    return (ends[-1] - ends[steps - 1]) / steps
