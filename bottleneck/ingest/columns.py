"""Events as columns: what is kept of a trace, in tens of bytes an event."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from .events import Arguments, Event, EventReader, number
from .vocabulary import Category, category

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_NO_ARGUMENTS = Arguments()
# These run in C for each of millions of events; a loop in Python would take most of the reading time.
_CATEGORY, _PROCESS_AND_THREAD = attrgetter("cat"), attrgetter("pid", "tid")
_NAME, _START, _DURATION = attrgetter("name"), attrgetter("ts"), attrgetter("dur")
_KEPT = (Category.HOST, Category.ANNOTATION, Category.RUNTIME, Category.DEVICE)
_WITHIN_US = 1e12  # eleven days: what lies further from the first event has a broken time stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Events of one category as columns of equal length, by start, outer before inner.

    Attributes:
        start_ns: int64, shape (n,), from ``Trace.zero_ns``.
        end_ns: int64, shape (n,).
        name: Index into ``Trace.names``, int64, shape (n,).
        thread: Index into ``Trace.threads``, int64, shape (n,).
        correlation: Number that a runtime call shares with the work it asked for, -1 without, int64, shape (n,).
        stream: Stream of device work, -1 elsewhere, int64, shape (n,).
        bytes: Bytes copied, -1 where not told, int64, shape (n,).
    """

    start_ns: Ints
    end_ns: Ints
    name: Ints
    thread: Ints
    correlation: Ints
    stream: Ints
    bytes: Ints

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.name)

    def where(self, mask: npt.NDArray[np.bool_] | Ints) -> Table:
        """Return the events that ``mask`` selects."""
        return Table(**{name: getattr(self, name)[mask] for name in self.__dataclass_fields__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What was read of one trace.

    Attributes:
        host: Operators; in traces of 2021 also annotations, which had no category of their own.
        annotations: What ``record_function`` marked.
        runtime: Calls into the device's runtime.
        device: Kernels, copies, fills.
        names: Event names.
        threads: Process and thread of each thread number, as the trace writes them.
        zero_ns: The clock's reading at time 0 of the columns.
        about: What stands beside the events.
        events: Events in the file, of any kind.
        damage: What could not be read, one sentence each.
    """

    host: Table
    annotations: Table
    runtime: Table
    device: Table
    names: tuple[str, ...]
    threads: tuple[tuple[str, str], ...]
    zero_ns: int
    about: Mapping[str, Any]
    events: int
    damage: tuple[str, ...]


class _Numbers(defaultdict[Any, int]):
    """Numbers its keys in the order of their first use."""

    def __missing__(self, key: Any) -> int:
        self[key] = number = len(self)
        return number


class _Categories(dict[str, int]):
    """Remembers what each ``cat`` means."""

    def __missing__(self, key: str) -> int:
        self[key] = found = int(category(key))
        return found


def read_columns(reader: EventReader) -> Trace:
    """Return the columns of all events in ``reader``.

    Raises:
        TraceError: This is no trace.
        OSError: The file can't be read.
    """
    names, threads, categories = _Numbers(), _Numbers(), _Categories()
    parts: dict[Category, list[tuple[npt.NDArray[Any], ...]]] = {kind: [] for kind in Category}
    zero: float | None = None
    for batch in reader:
        kinds = _numbers(categories, map(_CATEGORY, batch), len(batch))
        for wanted in _KEPT:
            chosen = list(compress(batch, (kinds == wanted).tolist()))
            if not chosen:
                continue
            if zero is None:
                zero = _zero(chosen)
            parts[wanted].append(_columns(chosen, zero or 0.0, names, threads, wanted))
    offset = reader.about.get("baseTimeNanoseconds")
    return Trace(
        host=_table(parts[Category.HOST]),
        annotations=_table(parts[Category.ANNOTATION]),
        runtime=_table(parts[Category.RUNTIME]),
        device=_table(parts[Category.DEVICE]),
        names=tuple(map(str, names)),
        threads=tuple((str(process), str(thread)) for process, thread in threads),
        zero_ns=_whole_ns(zero or 0.0, offset),
        about=reader.about,
        events=reader.count,
        damage=tuple(reader.damage),
    )


def among(values: Ints, wanted: Ints) -> npt.NDArray[np.bool_]:
    """Return which of ``values`` are in ``wanted``; ``np.isin`` takes five times as long on the few that most are."""
    found = np.zeros(len(values), bool)
    if len(wanted):
        ordered = np.sort(wanted)
        place = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
        found |= ordered[place] == values
    return found


def _whole_ns(zero_us: float, offset: Any) -> int:
    """Return time 0 in ns on the trace's own clock, with the offset that newer traces keep apart."""
    zero = int(zero_us) * 1000
    return zero + offset if isinstance(offset, int) and 0 <= zero + offset < 1 << 62 else zero


def _zero(events: Sequence[Event]) -> float | None:
    """Return the first time stamp that is a number, in whole us."""
    found = next((at for at in map(_START, events) if abs(at) < 2.0**53), None)  # false for NaN
    return None if found is None else float(math.floor(found))


def _columns(
    events: Sequence[Event], zero: float, names: _Numbers, threads: _Numbers, kind: Category
) -> tuple[npt.NDArray[Any], ...]:
    """Return the columns of a batch; events without a usable time are left out."""
    start = _floats(map(_START, events)) - zero
    took = _floats(map(_DURATION, events))
    keep = (np.abs(start) < _WITHIN_US) & (took >= 0) & (took < _WITHIN_US)  # false for NaN too
    count = len(events)
    name = _numbers(names, map(_NAME, events), count)
    thread = _numbers(threads, map(_PROCESS_AND_THREAD, events), count)
    correlation = stream = size = np.full(count, -1, np.int64)
    if kind in (Category.RUNTIME, Category.DEVICE):
        arguments = [event.args or _NO_ARGUMENTS for event in events]
        correlation = _integers(map(attrgetter("correlation"), arguments))
        if kind is Category.DEVICE:
            stream = _integers(map(attrgetter("stream"), arguments))
            size = _integers(map(attrgetter("bytes"), arguments))
    begun = np.rint(np.where(keep, start, 0) * 1000).astype(np.int64)
    ended = begun + np.rint(np.where(keep, took, 0) * 1000).astype(np.int64)
    found = (begun, ended, name, thread, correlation, stream, size)
    return found if keep.all() else tuple(column[keep] for column in found)


def _numbers(known: dict[Any, int], keys: Iterable[Any], count: int) -> npt.NDArray[np.int32]:
    """Return the number of each key; what can't be a key (a list for a thread) counts as its text."""
    found = list(keys)
    try:
        return np.fromiter(map(known.__getitem__, found), np.int32, count)
    except TypeError:
        return np.fromiter((known[tuple(map(str, key))] for key in found), np.int32, count)


def _floats(values: Iterable[float]) -> Floats:
    """Return numbers as float64."""
    return np.array(list(values), dtype=np.float64)


def _integers(values: Iterable[Any]) -> Ints:
    """Return whole numbers, -1 for what is none."""
    found = list(values)
    try:
        plain = np.array(found, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        plain = _floats(map(number, found))
    usable = np.abs(plain) < 2.0**53  # false for NaN
    return np.where(usable, plain, -1).astype(np.int64)


def _table(parts: Sequence[tuple[npt.NDArray[Any], ...]]) -> Table:
    """Return the batches as one table in order."""
    empty = np.zeros(0, np.int64)
    columns = [np.concatenate(rows).astype(np.int64) for rows in zip(*parts, strict=True)] or [empty] * 7
    order = np.lexsort((-columns[1], columns[0]))
    start, end, name, thread, correlation, stream, size = (column[order] for column in columns)
    return Table(
        start_ns=start,
        end_ns=end,
        name=name,
        thread=thread,
        correlation=correlation,
        stream=stream,
        bytes=size,
    )
