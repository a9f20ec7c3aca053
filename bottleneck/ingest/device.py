"""The device's side of a trace: kernels and copies with the calls that asked for them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..model.device import COPIES, DeviceWork
from .columns import Table, Trace, among
from .vocabulary import is_launch, pageable, work_kind

Ints = npt.NDArray[np.int64]


def device_work(trace: Trace) -> DeviceWork:
    """Return the work of the device in ``trace``, by start, with its launches found by their correlation."""
    table = trace.device
    used, name = np.unique(table.name, return_inverse=True)
    names = tuple(trace.names[number] for number in used)
    kinds = np.array([work_kind(text) for text in names], np.uint8)
    copies = np.array([pageable(text) if work_kind(text) in COPIES else -1 for text in names], np.int8)
    call = _calls(trace, table)
    known = call >= 0
    kind = kinds[name] if len(names) else kinds
    return DeviceWork(
        start_ns=table.start_ns + trace.zero_ns,
        end_ns=table.end_ns + trace.zero_ns,
        kind=kind,
        stream=table.stream,
        launch_ns=np.where(known, _at(trace.runtime.start_ns, call) + trace.zero_ns, -1),
        launched_ns=np.where(known, _at(trace.runtime.end_ns, call) + trace.zero_ns, -1),
        bytes=table.bytes,
        pageable=copies[name] if len(names) else copies,
        name=name.astype(np.uint32),
        names=names,
        lost_ns=_lost(trace, table) + trace.zero_ns,
    )


def _at(values: Ints, index: Ints) -> Ints:
    """Return ``values[index]``, 0 where the index is -1."""
    if not len(values):
        return np.zeros(len(index), np.int64)
    return np.where(index >= 0, values[np.maximum(index, 0)], 0)


def _calls(trace: Trace, table: Table) -> Ints:
    """Return for each row of work the runtime call with its correlation number, -1 without one."""
    numbers = trace.runtime.correlation
    usable = np.flatnonzero(numbers > 0)
    order = usable[np.argsort(numbers[usable], kind="stable")]
    if not len(order):
        return np.full(len(table), -1, np.int64)
    place = np.minimum(np.searchsorted(numbers[order], table.correlation), len(order) - 1)
    found = order[place]
    return np.where(numbers[found] == table.correlation, found, -1)


def _lost(trace: Trace, table: Table) -> Ints:
    """Return the starts of launching calls whose work is nowhere in the trace; none where it has no device work."""
    if not len(table):
        return np.zeros(0, np.int64)
    launches = np.array([is_launch(name) for name in trace.names], bool)
    calls = trace.runtime
    missing = launches[calls.name] & (calls.correlation > 0) & ~among(calls.correlation, table.correlation)
    return calls.start_ns[missing]


def calls_for(trace: Trace, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return which runtime calls asked for the rows of work that ``wanted`` selects."""
    numbers = trace.device.correlation[wanted]
    return among(trace.runtime.correlation, numbers[numbers > 0])
