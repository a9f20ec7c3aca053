"""What a torch DataLoader makes of a step: its exact order of events, replayed.

The order of events is in ``replay``; here are the times it is fed with where only their mean and spread are known,
and what sharing cores does to them.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from math import exp, log, sqrt

from .replay import Rules, Times, mean_step

BATCHES = 1024  # quantiles of the time to make a batch; replayed twice, the second time counts
MAX_WORKERS = 1024
_GRID = 4000  # points; the quantiles are right to 0.1 % and better
_SEED = 20_240  # any; the same record must give the same report
_ROUNDS = 40  # of the fixed point below; it halves its error in each


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A loader and the loop that empties it, each as if it had its cores for itself.

    Attributes:
        workers: Worker processes; 0 makes batches in the loop itself.
        prefetch: Batches each worker may be ahead.
        cpu_s: CPU time to make a batch.
        io_s: Time making a batch is blocked.
        cv: Standard deviation over mean of the time to make a batch.
        step_s: Time the loop needs between two batches.
        receive_s: Time the loop needs to take over a batch that is ready.
        cores: Cores the run may use.
        loop_cores: Cores the loop keeps busy during ``step_s``.
    """

    workers: int
    prefetch: int
    cpu_s: float
    io_s: float
    cv: float
    step_s: float
    receive_s: float = 0.0
    cores: float = 1.0
    loop_cores: float = 1.0

    @property
    def batch_s(self) -> float:
        """Return the mean time to make a batch."""
        return self.cpu_s + self.io_s


@dataclass(frozen=True, slots=True)
class Slowdown:
    """How much longer CPU work takes because cores are shared, at least 1, in the workers and in the loop."""

    worker: float
    loop: float


def slowdown(pipeline: Pipeline) -> Slowdown:
    """Return the contention for cores.

    While workers and loop both run they want ``W*u_w + u_m`` cores of C (u: cores one of them keeps
    busy) and go slower by that ratio. How much of the time both run depends on the step and the step
    on it, hence the fixed point.
    """
    if pipeline.workers == 0 or pipeline.batch_s <= 0:
        return Slowdown(1.0, 1.0)
    cores = max(pipeline.cores, 1e-9)
    wanted = pipeline.workers * pipeline.cpu_s / pipeline.batch_s
    alone = max(1.0, wanted / cores)
    both = max(1.0, (wanted + pipeline.loop_cores) / cores)
    worker, loop = both, both
    for _ in range(_ROUNDS):
        making = (pipeline.cpu_s * worker + pipeline.io_s) / pipeline.workers
        looping = pipeline.step_s * loop
        step = max(making, looping + pipeline.receive_s)
        overlap = looping / step if step > 0 else 1.0
        worker = (worker + 1 / (overlap / both + (1 - overlap) / alone)) / 2
        busy = min(1.0, making / step) if step > 0 else 1.0
        loop = (loop + busy * both + (1 - busy)) / 2
    return Slowdown(worker, loop)


def step_time(pipeline: Pipeline) -> float:
    """Return the mean wall time of a step in seconds, the wait for data included.

    Never less than the CPU work of loop and workers takes on all cores together.
    """
    if pipeline.workers == 0:
        return pipeline.step_s + pipeline.receive_s + pipeline.batch_s
    slow = slowdown(pipeline)
    contended = replace(pipeline, cpu_s=pipeline.cpu_s * slow.worker, step_s=pipeline.step_s * slow.loop)
    replayed = _replay(contended, service_times(contended.batch_s, pipeline.cv))
    return max(replayed, core_s(pipeline) / max(pipeline.cores, 1e-9))


def _replay(pipeline: Pipeline, service: tuple[float, ...]) -> float:
    """Return the mean step of the in-order loader."""
    rules = Rules(
        workers=min(pipeline.workers, MAX_WORKERS),
        prefetch=max(1, min(pipeline.prefetch, 64)),
        receive_s=pipeline.receive_s,
    )
    return mean_step([Times(making_s=service, after_s=(pipeline.step_s,))], rules, len(service))


def uncontended(seen: Pipeline) -> Pipeline:
    """Return the pipeline whose times, slowed by its own contention, are those of ``seen``."""
    alone = seen
    for _ in range(4):  # changes by under 1 % after the third round
        slow = slowdown(alone)
        alone = replace(seen, cpu_s=seen.cpu_s / slow.worker, step_s=seen.step_s / slow.loop)
    return alone


@lru_cache(maxsize=64)
def service_times(mean: float, cv: float) -> tuple[float, ...]:
    """Return times to make a batch with this mean and spread, in a fixed random order.

    Quantiles of a gamma distribution: positive, skewed to the right, told by two numbers, exponential
    at a spread of 1. The same arguments give the same times on every machine; their mean is exact.
    """
    if mean <= 0 or cv <= 0:
        return (max(mean, 0.0),) * BATCHES
    raw = _gamma_quantiles(min(max(cv, 0.01), 5.0))
    scale = mean * BATCHES / sum(raw)
    return tuple(raw[place] * scale for place in _permutation())


@lru_cache(maxsize=1)
def _permutation() -> tuple[int, ...]:
    """Return a fixed random order of the batches: Fisher and Yates with Knuth's 64-bit generator (MMIX)."""
    order = list(range(BATCHES))
    state = _SEED
    for last in range(BATCHES - 1, 0, -1):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        chosen = (state >> 33) % (last + 1)  # the high bits: the low ones of such a generator repeat soon
        order[last], order[chosen] = order[chosen], order[last]
    return tuple(order)


def _gamma_quantiles(cv: float) -> list[float]:
    """Return the quantiles at (i+0.5)/BATCHES of a gamma distribution with this spread and any mean.

    The density of the logarithm, x^k exp(-x), is smooth for every shape k; it is summed on a grid.
    """
    shape = 1 / cv**2
    low = log(shape) - 12 * cv - 10 * cv**2  # e^-10 of the mass and less lies below
    high = log(shape + 12 * sqrt(shape) + 30)
    grid = [low + (high - low) * i / _GRID for i in range(_GRID + 1)]
    peak = shape * log(shape) - shape
    total = list(accumulate(exp(shape * y - exp(y) - peak) for y in grid))
    wanted = (total[-1] * (i + 0.5) / BATCHES for i in range(BATCHES))
    return [exp(grid[bisect_left(total, part)]) for part in wanted]


def floor_s(pipeline: Pipeline) -> float:
    """Return a step time that no order of events gets below: workers, loop or cores all the time busy."""
    if pipeline.workers == 0:
        return step_time(pipeline)
    return max(
        pipeline.batch_s / pipeline.workers,
        pipeline.step_s + pipeline.receive_s,
        core_s(pipeline) / max(pipeline.cores, 1e-9),
    )


def core_s(pipeline: Pipeline) -> float:
    """Return the CPU time of a step and its batch, in core-seconds."""
    return pipeline.cpu_s + pipeline.loop_cores * pipeline.step_s
