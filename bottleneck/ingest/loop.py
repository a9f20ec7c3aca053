"""The host's side of a trace: the training loop as spans, as the agent would have written them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .. import intervals
from ..model.device import Work
from ..model.span import Flag, Kind, Spans
from . import vocabulary
from .columns import Table, Trace, among
from .device import calls_for

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
_OUTER = (Kind.NEXT, Kind.FORWARD, Kind.BACKWARD, Kind.OPTIMIZER, Kind.ZERO_GRAD, Kind.TRANSFER)
_ANCHORS = (Kind.NEXT, Kind.BACKWARD, Kind.OPTIMIZER)
_TRAINS = Flag.TRAINING | Flag.GRAD


@dataclass(frozen=True, slots=True)
class _Part:
    """Spans of one kind under construction; ``name`` points into the trace's names, -1 for none."""

    kind: Kind
    start: Ints
    end: Ints
    name: Ints | None = None
    flags: int = 0


@dataclass(frozen=True, slots=True)
class _Names:
    """What each name of the trace means, arrays of shape (names,)."""

    kind: Ints
    step: Bools
    autograd: Bools
    copy: Bools
    sync: Bools
    copy_call: Bools
    gloo: Bools
    begins_backward: Bools
    arithmetic: Bools
    copies_in: Bools
    copies_out_pageable: Bools


def read_loop(trace: Trace) -> Spans:
    """Return the spans of the thread that trains, times from ``trace.zero_ns`` on; empty where no host was traced.

    ``MARK`` spans are the profiler's steps. Fetches, optimizer steps and ``zero_grad`` carry names of their own;
    backward passes are the union of autograd's nodes, on whatever thread; forward passes are the operators that
    precede them.
    """
    names = _names(trace)
    host, notes = trace.host, trace.annotations
    thread = _loop_thread(trace, names)
    parts: list[_Part] = []
    own, beside = host.where(host.thread == thread), notes.where(notes.thread == thread)
    for table in (own, beside):
        marks = table.where(names.step[table.name])
        parts.append(_Part(Kind.MARK, marks.start_ns, marks.end_ns, marks.name))
    parts += _named(own, beside, names)
    kinds = {part.kind for part in parts if len(part.start)}
    if Kind.BACKWARD not in kinds:
        parts.append(_backward(trace, thread, names, parts))
    parts.append(_transfers(trace, own, names))
    if Kind.FORWARD not in kinds:
        parts += _forward(own, names, parts)
    parts += [_syncs(trace, thread, names), _collectives(trace, thread, names)]
    return _spans(parts, trace.names)


def _names(trace: Trace) -> _Names:
    """Return what the trace's names mean."""

    def each(test: object) -> Bools:
        assert callable(test)
        return np.array([bool(test(name)) for name in trace.names], bool)

    work, pageable = (
        np.array([test(name) for name in trace.names], np.int64)
        for test in (vocabulary.work_kind, vocabulary.pageable)
    )
    return _Names(
        kind=np.array([int(vocabulary.host_kind(name) or 0) for name in trace.names], np.int64),
        step=each(vocabulary.is_step),
        autograd=each(vocabulary.is_autograd),
        copy=each(vocabulary.is_copy_operator),
        sync=each(vocabulary.is_sync),
        copy_call=each(vocabulary.is_copy_call),
        gloo=each(vocabulary.is_gloo),
        begins_backward=each("aten::ones_like".__eq__),
        arithmetic=each(lambda name: name.startswith(("aten::", "mkldnn::"))),
        copies_in=work == Work.COPY_IN,
        copies_out_pageable=(work == Work.COPY_OUT) & (pageable == 1),
    )


def _loop_thread(trace: Trace, names: _Names) -> int:
    """Return the thread that runs the loop: with most step marks, else most named phases, else most operators."""
    count = len(trace.threads)
    weights = np.zeros((3, max(1, count)))
    for table in (trace.host, trace.annotations):
        told = names.kind[table.name] > 0
        for number, chosen in enumerate((names.step[table.name], told, ~names.autograd[table.name])):
            weights[number] += np.bincount(table.thread[chosen], minlength=weights.shape[1])
    deciding = next((row for row in weights if row.any()), weights[0])
    return int(deciding.argmax())


def _named(own: Table, beside: Table, names: _Names) -> list[_Part]:
    """Return the spans whose names tell their kind, without those inside others of the same kind."""
    start, end, name = (
        np.concatenate([getattr(table, column) for table in (own, beside)])
        for column in ("start_ns", "end_ns", "name")
    )
    kinds, parts = names.kind[name], []
    for kind in _OUTER:
        of = np.flatnonzero(kinds == kind)
        order = of[np.lexsort((-end[of], start[of]))]
        outer = order[_outermost(start[order], end[order])]
        flags = _TRAINS if kind is Kind.FORWARD else 0
        parts.append(_Part(kind, start[outer], end[outer], name[outer], flags))
    return parts


def _outermost(start: Ints, end: Ints) -> Bools:
    """Return which intervals (by start, outer before inner) lie in no earlier one."""
    reach = np.concatenate(([np.iinfo(np.int64).min], np.maximum.accumulate(end)[:-1])) if len(end) else end
    found: Bools = (start >= reach) | (end > reach)
    return found


def _plain(own: Table, names: _Names) -> Table:
    """Return the outermost operators of the loop's thread that no name makes a phase."""
    ops = own.where(~names.step[own.name] & (names.kind[own.name] == 0))
    return ops.where(_outermost(ops.start_ns, ops.end_ns))


def _backward(trace: Trace, thread: int, names: _Names, parts: list[_Part]) -> _Part:
    """Return the backward passes: runs of autograd nodes that nothing of the loop interrupts.

    Since 2021 every node is named; on a device they run in threads of autograd's own, all of whose work is theirs.
    What begins a new run: the operator that makes the first gradient, a step, a fetch, an optimizer.
    """
    host = trace.host
    nodes = names.autograd[host.name]
    theirs = host.thread[nodes & (host.thread != thread)]
    work = host.where(nodes | among(host.thread, theirs))
    begins = host.start_ns[(host.thread == thread) & names.begins_backward[host.name]]
    breaks = np.sort(np.concatenate([begins, *(part.start for part in parts)]))
    start, end = work.start_ns, work.end_ns
    if not len(start):
        return _Part(Kind.BACKWARD, start, end)
    run = np.searchsorted(breaks, start, side="right")
    first = np.flatnonzero(np.diff(run, prepend=-1))
    return _Part(Kind.BACKWARD, start[first], np.maximum.reduceat(end, first))


def _transfers(trace: Trace, own: Table, names: _Names) -> _Part:
    """Return the operators of the loop that copy a tensor to the device."""
    asked = np.sort(trace.runtime.start_ns[calls_for(trace, names.copies_in[trace.device.name])])
    ops = own.where(names.copy[own.name])
    ops = ops.where(_outermost(ops.start_ns, ops.end_ns))
    holds = np.searchsorted(asked, ops.start_ns) < np.searchsorted(asked, ops.end_ns)
    return _Part(Kind.TRANSFER, ops.start_ns[holds], ops.end_ns[holds], ops.name[holds])


def _forward(own: Table, names: _Names, parts: list[_Part]) -> list[_Part]:
    """Return forward passes: runs of operators after which, of all phases, a backward pass comes next.

    A run between two fetches is an evaluation's, without gradients. Before an optimizer's step gradients are
    clipped, and after it losses are read: those runs are no forward.
    """
    ops = _plain(own, names)
    outside = np.ones(len(ops), bool)
    for part in parts:
        if part.kind is not Kind.MARK:
            outside &= intervals.containing(*intervals.union(part.start, part.end), ops.start_ns) < 0
    ops = ops.where(outside & ~names.autograd[ops.name])
    anchors = [part for part in parts if part.kind in _ANCHORS]
    at = np.concatenate([part.start for part in anchors])
    kind = np.concatenate([np.full(len(part.start), part.kind, np.int64) for part in anchors])
    order = np.argsort(at, kind="stable")
    kind = np.concatenate((kind[order], [0]))
    following = np.searchsorted(at[order], ops.start_ns)
    cuts = np.sort(np.concatenate([part.start for part in parts]))
    run = np.searchsorted(cuts, ops.start_ns, side="right")
    trains = kind[following] == Kind.BACKWARD
    evaluates = (kind[following] == Kind.NEXT) & (kind[following - 1] == Kind.NEXT) & (following > 0)
    return [_runs(ops, run, trains, _TRAINS), _runs(ops, run, evaluates, 0)]


def _runs(ops: Table, run: Ints, chosen: Bools, flags: int) -> _Part:
    """Return the chosen operators joined by run."""
    start, end, run = ops.start_ns[chosen], ops.end_ns[chosen], run[chosen]
    if not len(start):
        return _Part(Kind.FORWARD, start, end)
    first = np.flatnonzero(np.diff(run, prepend=-1))
    return _Part(Kind.FORWARD, start[first], np.maximum.reduceat(end, first), flags=flags)


def _syncs(trace: Trace, thread: int, names: _Names) -> _Part:
    """Return the calls in which the loop, or its backward pass, waits for the device."""
    host, calls = trace.host, trace.runtime
    theirs = host.thread[names.autograd[host.name]]
    blocking = names.copy_call[calls.name] & calls_for(trace, names.copies_out_pageable[trace.device.name])
    waits = calls.where((names.sync[calls.name] | blocking) & among(calls.thread, np.append(theirs, thread)))
    return _Part(Kind.SYNC, waits.start_ns, waits.end_ns, waits.name)


def _collectives(trace: Trace, thread: int, names: _Names) -> _Part:
    """Return when Gloo communicated on the CPU and no arithmetic ran: on a CPU both run on host threads."""
    host = trace.host
    tables = [table.where(names.gloo[table.name]) for table in (host, trace.annotations)]
    start, end = intervals.union(
        np.concatenate([table.start_ns for table in tables]),
        np.concatenate([table.end_ns for table in tables]),
    )
    busy = host.where(names.arithmetic[host.name])
    begun, done = intervals.union(busy.start_ns, busy.end_ns)
    if not len(start):
        return _Part(Kind.COLLECTIVE, start, end)
    free = intervals.gaps(begun, done, int(start[0]), int(end[-1]))
    edges = np.unique(np.concatenate((start, end, *free)))
    middle = edges[:-1]
    alone = (intervals.containing(start, end, middle) >= 0) & (intervals.containing(*free, middle) >= 0)
    return _Part(Kind.COLLECTIVE, middle[alone], edges[1:][alone])


def _spans(parts: list[_Part], names: tuple[str, ...]) -> Spans:
    """Return all parts as spans of thread 0 in order of their end; ``b`` of a fetch is its loader."""
    start, end = (np.concatenate([getattr(part, side) for part in parts]) for side in ("start", "end"))
    sizes = [len(part.start) for part in parts]
    kind = np.repeat(np.array([part.kind for part in parts], np.uint8), sizes)
    flags = np.repeat(np.array([part.flags for part in parts], np.uint8), sizes)
    name = np.concatenate(
        [part.name if part.name is not None else np.full(len(part.start), -1) for part in parts]
    ).astype(np.int64)
    used, index = np.unique(name, return_inverse=True)
    order = np.lexsort((-start, end))
    return Spans(
        start_ns=start[order],
        end_ns=end[order],
        kind=kind[order],
        flags=flags[order],
        thread=np.zeros(len(order), np.uint16),
        name=index[order].astype(np.uint32),
        a=np.full(len(order), -1, np.int64),
        b=np.where((kind[order] == Kind.NEXT) | (kind[order] == Kind.OPTIMIZER), index[order], 0).astype(
            np.int64
        ),
        names=tuple(names[number] if number >= 0 else "" for number in used),
    )


def loader_names(spans: Spans) -> Mapping[int, str]:
    """Return the names of the loaders in ``spans`` by their number."""
    return {number: spans.names[number] for number in sorted({*spans.b[spans.kind == Kind.NEXT].tolist()})}
