"""The loader of this run as the recursion sees it, and whether the recursion can be trusted on it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..model.measurement import Measurements
from .loader import MAX_WORKERS, Pipeline, slowdown, step_time

TRUSTED = 0.05  # simulated over measured step, off by at most this (what-if studies discard beyond 5 %)
_CV_UNKNOWN = (
    0.3  # spread of batch times where none was measured: between images (0.05-0.11) and detection (0.67)
)
_PREFETCH = 2  # torch's default


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The pipeline of a run with the steady step it must reproduce.

    Attributes:
        pipeline: Of the current settings.
        batch_steps: Batches in one optimizer step.
        steady_s: Mean step without the extra waits at the start of epochs.
    """

    pipeline: Pipeline
    batch_steps: float
    steady_s: float

    @property
    def trusted(self) -> bool:
        """Return whether the recursion gives the measured step within 5 %."""
        return abs(self.simulate(self.pipeline) / self.steady_s - 1) <= TRUSTED

    def simulate(self, pipeline: Pipeline) -> float:
        """Return the mean optimizer step with ``pipeline``, in seconds."""
        return step_time(pipeline) * self.batch_steps


def measured_pipeline(measurements: Measurements) -> Measured | None:
    """Return the run's pipeline, or None where a part of it was not measured."""
    number = measurements.number
    mean, wait, workers = number("step.mean_s"), number("step.data_wait_s"), number("input.workers")
    batch, cpu = number("input.batch_s"), number("input.batch_cpu_s")
    if mean is None or wait is None or workers is None or batch is None or cpu is None or mean <= 0:
        return None
    count = max(1.0, number("step.micro_batches") or 1.0)
    blocked = number("input.batch_blocked_s")
    io = min(max(0.0, batch - cpu) if blocked is None else blocked, batch)
    loop = max(mean - wait, 0.0) / count
    pipeline = Pipeline(
        workers=min(int(workers), MAX_WORKERS),
        prefetch=int(number("input.prefetch_factor") or _PREFETCH),
        cpu_s=batch - io,
        io_s=io,
        cv=_or(number("input.batch_cv_frac"), _CV_UNKNOWN),
        step_s=loop,
        receive_s=(number("input.receive_s") or 0.0) if workers else 0.0,
        cores=_or(number("host.usable_cores"), 1.0),
        loop_cores=_or(number("compute.cores"), 1.0),
    )
    steady = mean * (1 - min(0.99, _or(number("input.epoch_gap_frac"), 0.0)))
    return Measured(pipeline=_uncontended(pipeline), batch_steps=count, steady_s=steady)


def _uncontended(seen: Pipeline) -> Pipeline:
    """Return the pipeline whose times, slowed by its own contention, are those of ``seen``."""
    alone = seen
    for _ in range(4):  # changes by under 1 % after the third round
        slow = slowdown(alone)
        alone = replace(seen, cpu_s=seen.cpu_s / slow.worker, step_s=seen.step_s / slow.loop)
    return alone


def _or(value: float | None, instead: float) -> float:
    """Return ``value``, or ``instead`` where it was not measured."""
    return instead if value is None else value
