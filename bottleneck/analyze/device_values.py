"""What a device did in the steps of a profiled run: its states, its kernels and copies, and the calls for them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import intervals
from ..model.device import DeviceWork, Work
from ..model.span import Kind
from . import device_time
from .device_time import STATE
from .timeline import Timeline
from .values import Values, ratio_interval

Ints = npt.NDArray[np.int64]


def of_device(timeline: Timeline, work: DeviceWork, values: Values) -> None:
    """Give what the device did in the steps of a profiled ``timeline``: its states, kernels, copies and their calls."""
    _states(timeline, work, values)
    _kernels(timeline, work, values)
    _copies(timeline, work, values)
    _calls(timeline, work, values)


def in_timed(timeline: Timeline, times_ns: Ints) -> npt.NDArray[np.bool_]:
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
    kernels = kernels.where(in_timed(timeline, kernels.start_ns))
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
    copies = copies.where(in_timed(timeline, copies.start_ns))
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
    known = (work.launch_ns >= 0) & in_timed(timeline, work.launch_ns)
    first, place = np.unique(
        work.launch_ns[known], return_index=True
    )  # one call may launch a graph of kernels
    took = float((work.launched_ns[known][place] - first).sum()) / 1e9
    values.give("device.launch_s", took / steps, len(first))
    spans = timeline.trainer.spans
    waits = spans.where(spans.kind == Kind.SYNC)
    count = int(np.count_nonzero(in_timed(timeline, waits.start_ns)))
    waited = intervals.covered(*intervals.union(waits.start_ns, waits.end_ns), timeline.bounds_ns)
    values.give("device.sync_calls", count / steps, count)
    values.give("device.sync_wait_s", float(waited[timeline.steady.timed].sum()) / 1e9 / steps, count)
