"""What a GPU did in the profiled steps of the deep window, as shares of the steps measured without a profiler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..model.record import ProcessRecord
from .device_values import of_device
from .profiled import ENOUGH, build_profiled
from .trainer import find_trainers
from .values import Values

_WALL = "wall_s"
_ROWS = "measurements"
# Shares of the profiled steps in which the device was at work: that takes as long without a profiler.
_AT_WORK = (
    "device.compute_frac",
    "device.comm_frac",
    "device.comm_exposed_frac",
    "device.h2d_exposed_frac",
    "device.copy_frac",
    "device.copy_exposed_frac",
)
# Shares in which it idled, what a profiler's slower host adds to first.
_IDLE = (
    "device.idle_host_frac",
    "device.idle_sync_frac",
    "device.idle_queue_frac",
    "device.idle_input_frac",
)
_AS_THEY_ARE = (
    "device.comm_overlap_frac",
    "device.kernels_per_step",
    "device.kernel_median_s",
    "device.kernel_mean_s",
    "device.launch_queue_s",
    "device.launch_s",
    "device.sync_calls",
    "device.sync_wait_s",
    "device.h2d_bytes",
    "device.h2d_bytes_per_s",
    "device.h2d_pageable_frac",
)
_NONE = "no steps with work of a GPU were profiled in this run"


def summary(process: ProcessRecord) -> dict[str, Any] | None:
    """Return what the trace of a window tells of the device, as plain data; None where it holds too little.

    ``wall_s`` is the mean profiled step, ``steps`` their number, ``measurements`` value, interval and samples by id.
    """
    trainers = find_trainers([process])
    if not trainers or process.device is None or not len(process.device):
        return None
    timeline = build_profiled(trainers[0], process.device)
    if timeline is None or timeline.steady.timed.sum() < ENOUGH:
        return None
    values = Values()
    of_device(timeline, process.device, values)
    wall = np.diff(timeline.bounds_ns)[timeline.steady.timed]
    return {
        "steps": len(wall),
        _WALL: float(wall.mean()) / 1e9,
        _ROWS: {
            one.id: {"value": one.value, "interval": one.interval, "samples": one.samples}
            for one in values.build().values_by_id.values()
        },
    }


def analyse(told: Mapping[str, Any] | None, values: Values) -> None:
    """Give ``device.*`` of a run whose window saw a GPU at work, and ``device.traced``.

    Kernels and copies take as long under a profiler, the host takes longer: what the profiled steps are longer by
    is taken off the time in which the device waited for the host. Where steps are longer without a profiler, the
    device had nothing to do for the rest of them, for a reason that a few steps do not show.

    Args:
        told: What ``summary`` said; None where there was none.
        values: Of the run; the mean step is known.
    """
    rows, wall = _read(told)
    mean = values.number("step.mean_s")
    values.give("device.traced", float(bool(rows and wall and mean)))
    if not rows or not wall or not mean:
        for name in (*_AT_WORK, *_IDLE, *_AS_THEY_ARE, "device.busy_frac", "device.idle_frac"):
            values.lack(name, _NONE)
        return
    busy = rows.get("device.busy_frac", (0.0, None, 1))[0] * wall
    step = max(mean, busy)
    for name in (*_AT_WORK, "device.busy_frac"):
        _give(values, name, rows, wall / step)
    idle = dict(
        _without_profiler({name: rows[name][0] * wall for name in _IDLE if name in rows}, wall - step)
    )
    for name, seconds in idle.items():
        values.give(name, seconds / step, rows[name][2])
    values.give("device.idle_frac", 1 - busy / step, rows.get("device.idle_frac", (0.0, None, 1))[2])
    for name in _AS_THEY_ARE:
        _give(values, name, rows, 1.0)


_Row = tuple[float, "tuple[float, float] | None", int]


def _read(told: Mapping[str, Any] | None) -> tuple[dict[str, _Row], float]:
    """Return the rows and the mean profiled step; nothing of what is damaged."""
    try:
        found = (told or {})[_ROWS]
        rows = {
            str(name): (float(row["value"]), _interval(row.get("interval")), int(row.get("samples", 1)))
            for name, row in found.items()
        }
        return rows, float((told or {})[_WALL])
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}, 0.0


def _interval(ends: Any) -> tuple[float, float] | None:
    """Return an interval as it was told."""
    return (float(ends[0]), float(ends[1])) if isinstance(ends, (list, tuple)) and len(ends) == 2 else None


def _give(values: Values, name: str, rows: Mapping[str, _Row], factor: float) -> None:
    """Give one row, multiplied."""
    if name in rows:
        value, interval, samples = rows[name]
        ends = None if interval is None else (interval[0] * factor, interval[1] * factor)
        values.give(name, value * factor, samples, ends)


def _without_profiler(idle: Mapping[str, float], longer: float) -> Mapping[str, float]:
    """Return seconds of idling by cause, less what the profiled step was ``longer`` by: the host's part first."""
    left, found = max(0.0, longer), {}
    for name in _IDLE:
        if name in idle:
            taken = min(idle[name], left)
            found[name], left = idle[name] - taken, left - taken
    return found
