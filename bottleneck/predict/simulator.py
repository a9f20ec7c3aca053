"""What a change would do to the step, by replaying the measured times with the change in them."""

from __future__ import annotations

from functools import lru_cache
from statistics import fmean, stdev

import numpy as np

from ..model.workload import Feeding, Workload
from .change import NOTHING, Change
from .loader import MAX_WORKERS, Pipeline, Slowdown, core_s, slowdown, uncontended
from .replay import Rules, mean_step
from .series import COLUMN, Floats, drawn, feed, phases_after, replayed_epoch

TRUSTED = 0.05  # simulated over measured step, off by at most this (what-if studies discard beyond 5 %)
DRAWS = 10  # replays of drawn steps: their spread is then known to a quarter
_T95 = 2.262  # two-sided 95 % quantile of Student's t with DRAWS - 1 degrees of freedom
MOST_AHEAD = 64  # batches a worker may be ahead in a replay: more hold nothing that matters
_UNHURRIED = Slowdown(1.0, 1.0)
# Beginning a pass takes one part for the iterator and its end, and one for each new worker: with 1, 2, 3 workers, by
# fork, from a small process, 12, 16, 21 ms. What no start of this run tells is at least that.
_PART_S = 0.005


class Simulator:
    """One run, ready to be replayed under changes."""

    def __init__(self, workload: Workload) -> None:
        """Hold ``workload``; results are kept, as the same change is asked about more than once."""
        self.workload = workload
        self._known: dict[tuple[Change, int], float] = {}
        self._drawn = {0: drawn(workload, 0)}
        seen = self._means(self._phases(NOTHING, 0), NOTHING, _UNHURRIED)
        self._slow_now = slowdown(uncontended(seen))

    @property
    def reproduction_err(self) -> float:
        """Return simulated over measured mean step of the run as it was, minus one."""
        return self.step_s() / self.workload.step_s - 1

    @property
    def trusted(self) -> bool:
        """Return whether the replay gives the measured step within 5 %."""
        return abs(self.reproduction_err) <= TRUSTED

    @property
    def on_device(self) -> bool:
        """Return whether a device computes while the host goes on."""
        return any(lane.device_s > 0 for lane in self.workload.lanes)

    def step_s(self, change: Change = NOTHING, draw: int = 0) -> float:
        """Return the mean wall time of a step under ``change``, in seconds, as the replay has it."""
        key = (change, draw)
        if key not in self._known:
            self._known[key] = self._simulated(change, draw)
        return self._known[key]

    def ratio(self, change: Change) -> float:
        """Return the step under ``change`` over the step as it is; below 1 is faster."""
        return self.step_s(change) / self.step_s()

    def spread(self, change: Change) -> float:
        """Return the half width of a 95 % interval of ``ratio``, from draws of the measured times."""
        if change == NOTHING:
            return 0.0
        draws = range(1, DRAWS + 1)
        return _T95 * stdev(self.step_s(change, draw) / self.step_s(NOTHING, draw) for draw in draws)

    def phase_s(self) -> dict[str, float]:
        """Return the mean seconds per step of each phase of the first rank's own time."""
        means = self._phases(NOTHING, 0)[0].mean(axis=0)
        return {phase: float(means[column]) for phase, column in COLUMN.items()}

    def _simulated(self, change: Change, draw: int) -> float:
        """Replay one change with the steps of one draw."""
        if draw not in self._drawn:
            self._drawn[draw] = drawn(self.workload, draw)
        phases = self._phases(change, draw)
        means = self._means(phases, change, self._slow_now)
        slow = slowdown(means)
        making = self._making(change, draw, slow)
        times = feed(self.workload, phases, making, slow.loop / self._slow_now.loop, change)
        rules = self._rules(change)
        steps = len(self._drawn[draw][0])
        if rules.epoch_steps:
            steps = rules.epoch_steps * max(1, round(steps / rules.epoch_steps))
        busy = max(1, rules.batches) * core_s(means) / max(means.cores, 1e-9)
        return max(mean_step(times, rules, steps), busy) + self._epoch_starts(change, fmean(making[0]))

    def _phases(self, change: Change, draw: int) -> list[Floats]:
        """Return seconds per step and phase of each rank."""
        return [phases_after(lane, self._drawn[draw][0], change) for lane in self.workload.lanes]

    def _making(self, change: Change, draw: int, slow: Slowdown) -> list[Floats]:
        """Return the time to make each batch, of each rank."""
        feeding = self.workload.feeding
        if feeding is None:
            return [np.zeros(1) for _ in self.workload.lanes]
        contention = slow.worker / self._slow_now.worker
        factor = feeding.blocked_frac * change.io_factor
        factor += (1 - feeding.blocked_frac) * change.cpu_factor * contention
        batches = self._drawn[draw][1]
        made = [np.array(lane.making_s or (0.0,)) for lane in self.workload.lanes]
        return [seconds[batches % len(seconds)] * factor for seconds in made]

    def _means(self, phases: list[Floats], change: Change, slow: Slowdown) -> Pipeline:
        """Return the first rank by the means of its times, each divided by how much ``slow`` slowed it."""
        workload, feeding = self.workload, self.workload.feeding
        loop = float(phases[0].sum(axis=1).mean()) / (feeding.batches if feeding else 1)
        made = workload.lanes[0].making_s
        making = fmean(made) if feeding and made else 0.0
        blocked = feeding.blocked_frac if feeding else 0.0
        return Pipeline(
            workers=_workers(feeding, change),
            prefetch=feeding.prefetch if feeding else 1,
            cpu_s=making * (1 - blocked) * change.cpu_factor / slow.worker,
            io_s=making * blocked * change.io_factor,
            cv=0.0,
            step_s=loop / slow.loop,
            receive_s=feeding.receive_s if feeding else 0.0,
            cores=workload.cores,
            loop_cores=workload.loop_cores,
        )

    def _rules(self, change: Change) -> Rules:
        """Return who waits for whom under ``change``."""
        workload, feeding = self.workload, self.workload.feeding
        synced = workload.synced if change.synced is None else change.synced
        if feeding is None:
            return Rules(batches=0, synced=synced, ahead=workload.ahead)
        prefetch = feeding.prefetch if change.prefetch is None else change.prefetch
        return Rules(
            workers=_workers(feeding, change),
            prefetch=max(1, min(prefetch, MOST_AHEAD)),
            in_order=feeding.in_order if change.in_order is None else change.in_order,
            receive_s=_receive_s(feeding, change),
            batches=feeding.batches,
            epoch_steps=replayed_epoch(feeding) if _workers(feeding, change) else 0,
            start_s=_start_s(feeding, change),
            fresh_s=feeding.fresh_s * _still_new(feeding, change),
            synced=synced,
            ahead=workload.ahead,
        )

    def _epoch_starts(self, change: Change, making_s: float) -> float:
        """Return what starting epochs adds to the mean step where they are too long to be replayed."""
        feeding = self.workload.feeding
        if feeding is None or not feeding.epoch_steps or replayed_epoch(feeding):
            return 0.0
        first = making_s if _workers(feeding, change) else 0.0  # the queue is empty, nobody made it ahead
        first += feeding.fresh_s * _still_new(feeding, change)
        return (_start_s(feeding, change) + first) / feeding.epoch_steps


def _workers(feeding: Feeding | None, change: Change) -> int:
    """Return the number of workers under ``change``."""
    if feeding is None:
        return 0
    return max(0, min(feeding.workers if change.workers is None else change.workers, MAX_WORKERS))


def _receive_s(feeding: Feeding, change: Change) -> float:
    """Return the time to take over a batch: without workers it passes through no queue."""
    return 0.0 if feeding.workers and not _workers(feeding, change) else feeding.receive_s


def _new_frac(feeding: Feeding, persistent: bool, once: bool) -> float:
    """Return the part of the epochs that begin with new workers: all, or those of a loader that is new itself."""
    return (0.0 if once else feeding.renewed_frac) if persistent else 1.0


def _still_new(feeding: Feeding, change: Change) -> float:
    """Return how many of the epochs that begin with new workers still do under ``change``, as a part of them."""
    now = _new_frac(feeding, feeding.persistent, False)
    then = _new_frac(feeding, feeding.persistent or bool(change.persistent), bool(change.once))
    return then / now if now > 0 else 1.0


def _start_s(feeding: Feeding, change: Change) -> float:
    """Return the time to begin an epoch: it goes away with workers that live on, else it grows with their number."""
    workers, still_new = _workers(feeding, change), _still_new(feeding, change)
    if feeding.workers == 0:
        return feeding.start_s + (_PART_S * (1 + workers) * still_new if workers else 0.0)
    if _new_frac(feeding, feeding.persistent, False) == 0:
        return feeding.start_s
    return feeding.start_s * still_new * (1 + workers) / (1 + feeding.workers)


@lru_cache(maxsize=8)
def simulator(workload: Workload) -> Simulator:
    """Return the simulator of ``workload``, the same one for an equal workload."""
    return Simulator(workload)
