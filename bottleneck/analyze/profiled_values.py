"""What a profiler's trace tells of a training, and that it tells no more: nothing unseen counts as zero."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .. import intervals
from ..model.device import DeviceWork, Work
from ..model.measurement import Measurements
from ..model.record import ProcessRecord, RunRecord
from ..model.span import Kind
from . import device_time, step_time
from .catalogue import CATALOGUE
from .device_catalogue import REPLAYED
from .device_time import STATE
from .measure import Analysed
from .phases import COLUMN
from .profiled import build_profiled
from .timeline import Timeline
from .trainer import find_trainers
from .values import Values, ratio_interval

Ints = npt.NDArray[np.int64]
ENOUGH = 2  # steps: one alone does not show what recurs
_UNSEEN = "not in a profiler trace"
_NO_DEVICE = "the trace holds no device work: the CPU trained, or the device's activity was not profiled"
_ON_DEVICE = ("h2d", "sync", "communication")
_NEVER = ("checkpoint", "evaluation", "logging", "gc")


def analyse_trace(record: RunRecord) -> Analysed:
    """Return the measurements of profiled ranks; of several the one that spends least in communication.

    In a synchronous training the others wait there for that one.
    """
    values = Values()
    built = [
        build_profiled(trainer, trainer.process.device)
        for trainer in find_trainers(record.processes)
        if trainer.process.device is not None
    ]
    timelines = sorted((t for t in built if t is not None), key=_exchanging)
    if timelines:
        _run_all(timelines[0], values)
    for failure in record.failures:
        values.lack(failure.collector, failure.reason)
    for identifier in CATALOGUE:
        values.lack(identifier, _UNSEEN)
    return Analysed(
        result=_result(timelines),
        timelines=tuple(timelines),
        makers=(),
        measurements=_only_seen(values.build(), timelines),
        library_paths=(),
    )


def _exchanging(timeline: Timeline) -> float:
    """Return the share of a rank's time in communication that nothing hides."""
    whole = float(timeline.totals.sum())
    return float(timeline.totals[:, COLUMN["communication"]].sum()) / whole if whole else 0.0


def _result(timelines: Sequence[Timeline]) -> str:
    """Return "OK" or the named reason why nothing can be said about steps."""
    if not timelines:
        return "NO_TRAINING"
    return "OK" if int(timelines[0].steady.timed.sum()) >= ENOUGH else "SHORT_TRACE"


def _run_all(timeline: Timeline, values: Values) -> None:
    """Give everything that one rank's trace tells."""
    values.give("device.placed", 0.0)  # operators were not counted
    for change in REPLAYED:
        values.give(f"replay.{change}_covered_frac", 0.0)  # nor called again
    step_time.analyse(timeline, values)
    _input(timeline, values)
    _facts(timeline.trainer.process, values)
    if timeline.device is None:
        if _seen("communication", timeline):  # Gloo beside a model on the CPU, which is then the device
            values.give(
                "device.comm_exposed_frac", values.number("step.communication_frac"), len(timeline.totals)
            )
        for identifier in CATALOGUE:
            if identifier.startswith("device."):
                values.lack(identifier, _NO_DEVICE)
        return
    work = timeline.trainer.process.device
    assert work is not None
    _states(timeline, work, values)
    _kernels(timeline, work, values)
    _copies(timeline, work, values)
    _calls(timeline, work, values)


def _only_seen(found: Measurements, timelines: Sequence[Timeline]) -> Measurements:
    """Return the measurements without phases that such a trace can't show."""
    if not timelines:
        return found
    hidden = [*_NEVER]
    spans = timelines[0].trainer.spans
    if timelines[0].device is None:
        hidden += [phase for phase in _ON_DEVICE if not _seen(phase, timelines[0])]
    if not (spans.kind == Kind.NEXT).any():
        hidden.append("data_wait")
    gone = {f"step.{phase}_{unit}" for phase in hidden for unit in ("s", "frac")}
    gone |= {"input.wait_frac", "input.cost_frac"} if "data_wait" in hidden else set()
    kept = {name: value for name, value in found.values_by_id.items() if name not in gone}
    return Measurements(values_by_id=kept, labels=found.labels, missing=found.missing)


def _seen(phase: str, timeline: Timeline) -> bool:
    """Return whether any time of the steps fell into ``phase``."""
    return bool(timeline.totals[:, COLUMN[phase]].any())


def _input(timeline: Timeline, values: Values) -> None:
    """Give ``input.*``: the wait that nothing hides, and what making a batch takes where the loop makes it."""
    spans = timeline.trainer.spans
    fetches = spans.where(spans.kind == Kind.NEXT)
    if not len(fetches):
        values.lack(
            "input", "no DataLoader's mark is in the trace: waiting for data, if any, counts as other"
        )
        return
    loaders = timeline.evaluation.loaders
    values.give("input.loaders", len(loaders))
    for name in ("input.wait_frac", "input.cost_frac"):  # nothing was taken away: the wait is what is known
        values.give(name, values.number("step.data_wait_frac"), len(fetches))
    told = [
        event.data for event in timeline.trainer.process.told("loader") if event.data["number"] in loaders
    ]
    alone = bool(told) and all(data.get("workers") == 0 for data in told)
    values.label("input.maker", "the training process itself" if alone else "worker processes")
    if alone:
        values.give("input.workers", 0)
        timed = fetches.where(_in_timed(timeline, fetches.start_ns))
        seconds = (timed.end_ns - timed.start_ns) / 1e9
        values.give("input.batch_s", float(seconds.mean()) if len(seconds) else None, len(seconds))
    else:
        values.lack("input.workers", "a trace tells that there are workers, not how many")


def _facts(process: ProcessRecord, values: Values) -> None:
    """Give what stands beside the events: device, ranks, compiler, optimizer."""
    header = process.header
    if isinstance(header.get("cuda_device"), bool):
        values.give("device.is_cuda", float(header["cuda_device"]))
        values.give("device.is_cpu", float(not header["cuda_device"]))
    ranks = header.get("ranks") or {}
    if str(ranks.get("WORLD_SIZE", "")).isdigit():
        values.give("ddp.world", float(ranks["WORLD_SIZE"]))
        if float(ranks["WORLD_SIZE"]) > 1:
            values.give("comm.sized_frac", 1.0)  # the link was not measured
    if header.get("compiled"):
        values.give("compile.used", 1.0)
    names = dict.fromkeys(str(event.data["name"]) for event in process.told("optimizer"))
    values.label("optimizer.name", ", ".join(names))


def _in_timed(timeline: Timeline, times_ns: Ints) -> npt.NDArray[np.bool_]:
    """Return which of ``times_ns`` lie in a step that counts."""
    row = np.searchsorted(timeline.bounds_ns, times_ns, side="right") - 1
    known = (row >= 0) & (row < len(timeline.totals))
    found: npt.NDArray[np.bool_] = known & timeline.steady.timed[np.clip(row, 0, len(timeline.totals) - 1)]
    return found


def _states(timeline: Timeline, work: DeviceWork, values: Values) -> None:
    """Give the shares of what the device did, with intervals over steps."""
    assert timeline.device is not None
    timed = timeline.steady.timed
    found = timeline.device.totals(timeline.bounds_ns)[timed].astype(float)
    wall = np.diff(timeline.bounds_ns)[timed].astype(float)

    def share(identifier: str, ns: npt.NDArray[np.float64]) -> None:
        if wall.sum() > 0:
            interval = ratio_interval(ns, wall)
            clipped = (max(0.0, interval[0]), min(1.0, interval[1])) if interval else None
            values.give(identifier, float(ns.sum() / wall.sum()), len(wall), clipped)

    idle = found[:, device_time.IDLE].sum(axis=1)
    share("device.idle_frac", idle)
    share("device.busy_frac", wall - idle)
    share("device.compute_frac", found[:, STATE["compute"]])
    share("device.comm_exposed_frac", found[:, STATE["communication"]])
    share("device.h2d_exposed_frac", found[:, STATE["copy_in"]])
    exposed = [STATE[name] for name in ("copy_in", "copy_out", "copy_within")]
    share("device.copy_exposed_frac", found[:, exposed].sum(axis=1))
    for cause, identifier in (
        ("idle_input", "device.idle_input_frac"),
        ("idle_sync", "device.idle_sync_frac"),
        ("idle_queue", "device.idle_queue_frac"),
        ("idle_host", "device.idle_host_frac"),
    ):
        share(identifier, found[:, STATE[cause]])
    share("device.copy_frac", device_time.copies(work, timeline.bounds_ns)[timed].astype(float))
    exchange = device_time.ran(work, timeline.bounds_ns, Work.COMMUNICATION)[timed].astype(float)
    share("device.comm_frac", exchange)
    if exchange.sum() > 0:
        alone = found[:, STATE["communication"]].sum()
        values.give("device.comm_overlap_frac", 1 - float(alone / exchange.sum()), len(wall))


def _kernels(timeline: Timeline, work: DeviceWork, values: Values) -> None:
    """Give how many kernels a step has, how long they run, and how far the host is ahead of them."""
    kernels = work.of(Work.COMPUTE, Work.COMMUNICATION)
    kernels = kernels.where(_in_timed(timeline, kernels.start_ns))
    steps = int(np.count_nonzero(timeline.steady.timed))
    seconds = (kernels.end_ns - kernels.start_ns) / 1e9
    values.give("device.kernels_per_step", len(kernels) / steps if steps else None, steps)
    if len(kernels):
        values.give("device.kernel_median_s", float(np.median(seconds)), len(kernels))
        values.give("device.kernel_mean_s", float(seconds.mean()), len(kernels))
    known = kernels.where(kernels.launch_ns >= 0)
    if len(known):
        ahead = (
            np.maximum(0, known.start_ns - known.launch_ns) / 1e9
        )  # clocks of host and device may be askew
        values.give("device.launch_queue_s", float(np.median(ahead)), len(known))


def _copies(timeline: Timeline, work: DeviceWork, values: Values) -> None:
    """Give size, rate and kind of the copies to the device."""
    copies = work.of(Work.COPY_IN)
    copies = copies.where(_in_timed(timeline, copies.start_ns))
    steps = int(np.count_nonzero(timeline.steady.timed))
    sized = copies.where(copies.bytes >= 0)
    ns = float((sized.end_ns - sized.start_ns).sum())
    if steps and len(sized) == len(copies):
        values.give("device.h2d_bytes", float(sized.bytes.sum()) / steps, len(sized))
    if len(sized) and ns > 0:
        values.give("device.h2d_bytes_per_s", float(sized.bytes.sum()) / ns * 1e9, len(sized))
    told = copies.where(copies.pageable >= 0)
    took = (told.end_ns - told.start_ns).astype(float)
    if took.sum() > 0:
        values.give("device.h2d_pageable_frac", float(took[told.pageable == 1].sum() / took.sum()), len(told))


def _calls(timeline: Timeline, work: DeviceWork, values: Values) -> None:
    """Give the host's time in calls that launch work, and in calls that wait for the device."""
    steps = int(np.count_nonzero(timeline.steady.timed))
    if not steps:
        return
    known = (work.launch_ns >= 0) & _in_timed(timeline, work.launch_ns)
    first, place = np.unique(
        work.launch_ns[known], return_index=True
    )  # one call may launch a graph of kernels
    took = float((work.launched_ns[known][place] - first).sum()) / 1e9
    values.give("device.launch_s", took / steps, len(first))
    spans = timeline.trainer.spans
    waits = spans.where(spans.kind == Kind.SYNC)
    count = int(np.count_nonzero(_in_timed(timeline, waits.start_ns)))
    waited = intervals.covered(*intervals.union(waits.start_ns, waits.end_ns), timeline.bounds_ns)
    values.give("device.sync_calls", count / steps, count)
    values.give("device.sync_wait_s", float(waited[timeline.steady.timed].sum()) / 1e9 / steps, count)
