"""The measured times of a run, in order, for the simulator to replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..model.record import ProcessRecord
from ..model.span import Flag, Kind
from ..model.workload import Feeding, Lane, Stall, Workload
from .input_pipeline import making_times
from .phases import COLUMN
from .timeline import Timeline
from .trainer import batch_makers
from .values import Values

Floats = npt.NDArray[np.float64]

MOST = (
    512  # steps kept: their mean is good to a fiftieth of one step's spread, and a replay takes a millisecond
)
_STRETCH = 32  # steps that stay together where not all are kept: longer than most queues
_STALLS = ("checkpoint", "evaluation")  # spread over all settled steps, as in Timeline.mean_phases
_LEAST = 10  # steps: fewer give no mean worth reproducing
_LANES = 4  # ranks replayed: the slowest decide, and time grows with their number
_QUEUE = 1024  # launches CUDA queues before the host has to wait; a step launches some hundreds
_SYNCED = 0.01  # of the step in calls that wait for the device: such a loop waits in every step


def build_workload(
    timelines: Sequence[Timeline], processes: Sequence[ProcessRecord], values: Values
) -> Workload | None:
    """Return the times of the ranks in ``timelines`` (the first is the one ``values`` describe), or None.

    None where fewer than ten steps were timed, or a loader's batches were not. Steps are seconds per phase,
    batches seconds, both in order.
    """
    chosen = _alike(timelines)
    kept = _kept(chosen)
    if len(kept) < _LEAST:
        return None
    feeding = _feeding(chosen[0], batch_makers(chosen[0].trainer, processes), values)
    if feeding is None and values.number("input.loaders"):
        return None
    lanes = tuple(_lane(timeline, kept, processes, feeding, values) for timeline in chosen)
    first = lanes[0]
    step = float(np.asarray(first.steps).sum(axis=1).mean())
    step += sum(float(np.mean(stall.seconds)) / stall.interval for stall in first.stalls)
    launches = values.number("device.kernels_per_step") or values.number("host.backward_nodes") or _QUEUE
    return Workload(
        lanes=lanes,
        step_s=step,
        count=int(chosen[0].steady.timed.sum()),
        feeding=feeding,
        cores=_or(values.number("host.usable_cores"), 1.0),
        loop_cores=_or(values.number("compute.cores"), 1.0),
        synced=(values.number("step.sync_frac") or 0.0) > _SYNCED,
        ahead=max(1, int(_QUEUE / max(launches, 1.0))),
    )


def _alike(timelines: Sequence[Timeline]) -> list[Timeline]:
    """Return the first timeline and those that took the same steps with it, the slowest where there are many."""
    first = timelines[0]
    if first.trainer.process.rank is None:  # processes that train beside each other wait for nobody
        return [first]
    same = [one for one in timelines[1:] if abs(len(one.totals) - len(first.totals)) <= 1]
    same.sort(key=lambda one: float(one.totals[:, COLUMN["communication"]].mean()))  # the last waits least
    return [first, *same[: _LANES - 1]]


def _kept(timelines: Sequence[Timeline]) -> npt.NDArray[np.int64]:
    """Return the numbers of the steps to keep: timed in every rank, at most ``MOST`` in even stretches."""
    count = min(len(timeline.totals) for timeline in timelines)
    timed = np.logical_and.reduce([timeline.steady.timed[:count] for timeline in timelines])
    numbers = np.flatnonzero(timed)
    if len(numbers) <= MOST:
        return numbers
    starts = np.linspace(0, len(numbers) - _STRETCH, MOST // _STRETCH).astype(np.int64)
    return numbers[np.unique((starts[:, None] + np.arange(_STRETCH)).ravel())]


def _lane(
    timeline: Timeline,
    kept: npt.NDArray[np.int64],
    processes: Sequence[ProcessRecord],
    feeding: Feeding | None,
    values: Values,
) -> Lane:
    """Return one rank's times."""
    rows = timeline.phase_ns()[kept] / 1e9
    stalls = tuple(stall for name in _STALLS if (stall := _stall(timeline, name)) is not None)
    rows[:, [COLUMN[name] for name in _STALLS]] = 0.0
    making: tuple[float, ...] = ()
    draw_s = 0.0
    if feeding is not None:
        makers = batch_makers(timeline.trainer, processes)
        draw_s = (values.number("input.sampler_s") or 0.0) * feeding.batches
        made = _made(timeline, makers, feeding, rows[:, COLUMN["data_wait"]] - draw_s)
        making = tuple(made[-2 * MOST * feeding.batches :].tolist())
    return Lane(
        steps=tuple(tuple(row) for row in rows.tolist()),
        making_s=making,
        draw_s=draw_s,
        stalls=stalls,
        device_s=_device(values),
    )


def _made(timeline: Timeline, makers: Sequence[ProcessRecord], feeding: Feeding, waits: Floats) -> Floats:
    """Return the time to make each batch; without workers that is what the loop waits in just these steps."""
    if feeding.workers:
        first, later = making_times(timeline, makers, feeding.workers)
        return later if len(later) else first
    each: Floats = np.repeat(np.maximum(waits / feeding.batches - feeding.receive_s, 0.0), feeding.batches)
    return each


def _stall(timeline: Timeline, phase: str) -> Stall | None:
    """Return what ``phase`` costs and how often it comes, among the settled steps kept in detail."""
    seconds = timeline.phase_ns()[timeline.detailed, COLUMN[phase]] / 1e9
    found = seconds[seconds > 0]
    if not len(found):
        return None
    return Stall(phase=phase, seconds=tuple(found[-MOST:].tolist()), interval=len(seconds) / len(found))


def _device(values: Values) -> float:
    """Return the time the device computes for a step: its kernels where they were traced, else NVML's share."""
    mean = values.number("step.mean_s")
    if not values.number("device.is_cuda") or mean is None:
        return 0.0
    kernels, each = values.number("device.kernels_per_step"), values.number("device.kernel_mean_s")
    if kernels is not None and each is not None:  # seconds, not shares: steps under a profiler are longer
        return min(kernels * each, mean)
    return _or(values.number("device.utilisation_frac"), 0.0) * mean


def _feeding(timeline: Timeline, makers: Sequence[ProcessRecord], values: Values) -> Feeding | None:
    """Return the training loader, None where there is none or too little of it was measured."""
    batch, blocked = values.number("input.batch_s"), values.number("input.batch_blocked_s")
    cpu = values.number("input.batch_cpu_s")
    if not values.number("input.loaders") or not batch:
        return None
    workers = int(values.number("input.workers") or 0)
    batches = _batches(timeline)
    if blocked is None:
        blocked = 0.0 if cpu is None else batch - cpu
    epoch = values.number("input.steps_per_epoch")
    gap = values.number("input.epoch_gap_s") or 0.0
    taking = values.number("input.receive_s") if workers else _beside(timeline, batches)
    told = _told(timeline)
    first, later = making_times(timeline, makers, workers)
    usual = float(later.mean()) if len(later) else batch
    fresh = max(0.0, float(first.mean()) - usual) if len(first) else 0.0
    return Feeding(
        workers=workers,
        prefetch=int(_or(values.number("input.prefetch_factor"), 2.0)),
        in_order=bool(told.get("in_order", True)),
        persistent=bool(values.number("input.persistent_workers")),
        renewed_frac=values.number("input.renewed_frac") or 0.0,
        blocked_frac=min(1.0, max(0.0, blocked / batch)),
        receive_s=max(0.0, (taking or 0.0) - (values.number("input.sampler_s") or 0.0)),
        batches=batches,
        epoch_steps=epoch,
        # With workers an epoch begins with an empty queue: its first batch is waited for as well. Without, what
        # beginning an epoch takes is part of what the loop waits.
        start_s=max(0.0, gap - usual - fresh) if workers else 0.0,
        fresh_s=fresh,
    )


def _beside(timeline: Timeline, batches: int) -> float:
    """Return what the loop that makes its batches itself waits for one beyond making it, median."""
    wait = timeline.phase_ns()[timeline.steady.timed, COLUMN["data_wait"]] / 1e9 / batches
    made = np.concatenate(making_times(timeline, (), 0))
    return max(0.0, float(np.median(wait) - np.median(made))) if len(wait) and len(made) else 0.0


def _told(timeline: Timeline) -> dict[str, Any]:
    """Return the settings of the loader that feeds training."""
    for event in timeline.trainer.process.told("loader"):
        if event.data.get("number") in timeline.evaluation.loaders:
            return dict(event.data)
    return {}


def _batches(timeline: Timeline) -> int:
    """Return how many training batches a step takes, at least 1."""
    spans = timeline.trainer.spans
    mine = np.isin(spans.b, list(timeline.evaluation.loaders)) & (spans.kind == Kind.NEXT)
    mine &= spans.flags & Flag.STOP == 0
    mine[timeline.evaluation.fetches] = False
    counts, _ = np.histogram(spans.start_ns[mine], timeline.bounds_ns)
    kept = counts[timeline.detailed] if timeline.detailed.any() else counts
    return max(1, round(float(kept.mean())))


def _or(value: float | None, instead: float) -> float:
    """Return ``value``, or ``instead`` where it was not measured."""
    return instead if value is None else value
