"""Reads the blocks an agent appends: up to the last complete one, whatever killed the writer or bent a bit.

A block is magic, type, payload length, CRC-32, payload; see ``agent/kinds.py`` for the numbers.
"""

from __future__ import annotations

import json
import mmap
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RecordError
from ..model.record import Event, ProcessRecord
from ..model.span import Spans

_MAGIC = b"TBK1"
_HEADER = struct.Struct("<4sB3xII")
_SPANS, _NAME, _EVENT = 1, 2, 3
_MAX_PAYLOAD = 1 << 20  # the agent writes 41 kB at most; anything larger is damage
_MAX_EVENTS = 5_000
_RANK_VARIABLES = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
_LATEST_NS = 1 << 60  # 36 years after the machine's start; a later time is damage, and its sums overflow
_ROW = np.dtype(
    [
        ("start_ns", "<i8"),
        ("end_ns", "<i8"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("thread", "<u2"),
        ("name", "<u4"),
        ("a", "<i8"),
        ("b", "<i8"),
    ]
)


def _blocks(data: bytes | mmap.mmap, start: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield (type, offset behind the block, payload) of every whole block; skips damage to the next magic."""
    offset = start
    while offset + _HEADER.size <= len(data):
        magic, block, length, crc = _HEADER.unpack_from(data, offset)
        end = offset + _HEADER.size + length
        if magic == _MAGIC and length <= _MAX_PAYLOAD:
            if end > len(data):
                return
            payload = data[offset + _HEADER.size : end]
            if zlib.crc32(payload) == crc:
                yield block, end, payload
                offset = end
                continue
        found = data.find(_MAGIC, offset + 1)
        if found < 0:
            return
        offset = found


class _Reading:
    """What has been read of one trace so far."""

    def __init__(self) -> None:
        """Start empty."""
        self.rows: list[bytes] = []
        self.names: dict[int, str] = {0: ""}
        self.events: list[Event] = []
        self.offset = 0

    def take(self, data: bytes | mmap.mmap, offset: int) -> None:
        """Add every whole block from ``offset`` on; ``self.offset`` is then behind the last of them."""
        self.offset = offset
        for block, end, payload in _blocks(data, offset):
            self.offset = end
            if block == _SPANS:
                self.rows.append(payload[: len(payload) // _ROW.itemsize * _ROW.itemsize])
            elif block == _NAME and len(payload) >= 4:
                self.names[int.from_bytes(payload[:4], "little")] = payload[4:].decode("utf-8", "replace")
            elif block == _EVENT and len(self.events) < _MAX_EVENTS:
                self._take_event(payload)

    def _take_event(self, payload: bytes) -> None:
        """Add one event; one that is no JSON object is dropped."""
        try:
            found = json.loads(payload)
            event = Event(kind=str(found["kind"]), time_ns=int(found["time_ns"]), data=dict(found["data"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        self.events.append(event)

    def spans(self) -> Spans:
        """Return the spans read so far."""
        rows = np.frombuffer(b"".join(self.rows), dtype=_ROW)
        possible = (
            (rows["start_ns"] >= 0) & (rows["end_ns"] >= rows["start_ns"]) & (rows["end_ns"] < _LATEST_NS)
        )
        rows = rows[possible]
        size = max(self.names) + 1 if max(self.names) < 100_000 else 1
        names = tuple(self.names.get(number, "") for number in range(size))
        return Spans(
            start_ns=rows["start_ns"].astype(np.int64),
            end_ns=rows["end_ns"].astype(np.int64),
            kind=rows["kind"].copy(),
            flags=rows["flags"].copy(),
            thread=rows["thread"].copy(),
            name=np.where(rows["name"] < size, rows["name"], 0).astype(np.uint32),
            a=rows["a"].astype(np.int64),
            b=rows["b"].astype(np.int64),
            names=names,
        )

    def header(self) -> Mapping[str, Any]:
        """Return the first event's data, which says who wrote this."""
        return next((event.data for event in self.events if event.kind == "header"), {})


class TraceTail:
    """Follows one growing trace; cheap to ask often."""

    def __init__(self, folder: Path) -> None:
        """Follow the trace in a process's ``folder``."""
        self.key = folder.name
        self.trains: bool | None = None  # set by who follows it, once clear
        self._path = folder / "trace.bin"
        self._reading = _Reading()

    def poll(self) -> None:
        """Read what was appended since the last call; a file that is not there yet reads as empty."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._reading.offset)
                data = file.read()
        except OSError:
            return
        before = self._reading.offset
        self._reading.take(data, 0)
        self._reading.offset += before

    def record(self) -> ProcessRecord:
        """Return all that was read so far."""
        return _process(self.key, self._reading, None)


def read_process(folder: Path) -> ProcessRecord | None:
    """Return what the agent wrote in ``folder``, or None where there is nothing of it.

    Raises:
        RecordError: The trace is there but can't be opened.
    """
    path = folder / "trace.bin"
    reading, damage = _Reading(), None
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                    reading.take(data, 0)
                if reading.offset < size:
                    damage = f"{size - reading.offset} bytes at the end could not be read"
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: can't be read ({error})") from error
    return _process(folder.name, reading, damage)


def _process(key: str, reading: _Reading, damage: str | None) -> ProcessRecord:
    """Return the record of one process."""
    header = reading.header()
    ranks = header.get("ranks")
    ranks = ranks if isinstance(ranks, dict) else {}
    return ProcessRecord(
        key=key,
        pid=_integer(header.get("pid"), 0),
        ppid=_integer(header.get("ppid"), 0),
        rank=_rank(ranks, reading.events),
        header=header,
        spans=reading.spans(),
        events=tuple(reading.events),
        damage=damage,
    )


def _rank(variables: Mapping[str, Any], events: Sequence[Event]) -> Any:
    """Return the rank: what torch.distributed said once it was set up, else what the launcher's variables say."""
    told = next((e.data for e in events if e.kind == "group" and e.data.get("world")), {})
    named = [variables[name] for name in _RANK_VARIABLES if name in variables]
    return _integer(told.get("rank"), _integer(named[0] if named else None, None))


def _integer(value: Any, default: Any) -> Any:
    """Return ``value`` as an int, ``default`` where it is none."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return default
