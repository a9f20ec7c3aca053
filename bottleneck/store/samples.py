"""System samples on disk: one JSON object per line, readable to the last complete line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from ..errors import RecordError
from ..model.record import SystemSample

NAME = "system.jsonl"
# Beyond this the log is thinned to every second line and the interval doubled: 2.8 hours at 2 Hz, and
# finer than any chart shows.
MOST_LINES = 20_000
# A job of many ranks writes long lines: 24 MB leaves most of a record's 64 MB to the spans.
MOST_BYTES = 24_000_000
# What a reader accepts: any log of ours with room to spare, and no more memory than a report may take.
_READ_BYTES = 4 * MOST_BYTES


class _Line(msgspec.Struct, forbid_unknown_fields=False):
    t: int
    m: dict[str, float] = {}
    p: dict[int, dict[str, float]] = {}
    d: list[dict[str, float]] = []


_DECODER = msgspec.json.Decoder(_Line)


def _plain(readings: Mapping[str, float]) -> dict[str, float]:
    """Return the readings as they are written: whole numbers without a point, others to a microsecond."""
    return {
        name: int(value) if float(value).is_integer() else round(value, 6) for name, value in readings.items()
    }


def encode(sample: SystemSample) -> bytes:
    """Return the line for ``sample``, with its end."""
    line = {
        "t": sample.time_ns,
        "m": _plain(sample.machine),
        "p": {str(pid): _plain(readings) for pid, readings in sample.processes.items()},
    }
    if sample.devices:
        line["d"] = [_plain(device) for device in sample.devices]
    return msgspec.json.encode(line) + b"\n"


def _decode(line: bytes) -> SystemSample | None:
    try:
        read = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return SystemSample(time_ns=read.t, machine=read.m, processes=read.p, devices=tuple(read.d))


def load_samples(path: Path) -> tuple[tuple[SystemSample, ...], str | None]:
    """Return the samples of a log in order, and what was wrong with it (None where nothing was).

    A last line that was cut short is left out without a word: its writer was killed. RecordError
    where the file can't be read at all.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_READ_BYTES + 1)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror or error}") from error
    if len(data) > _READ_BYTES:
        return (), f"{path.name}: larger than any log of this program"
    lines = data.split(b"\n")[:-1]
    samples = [sample for line in lines if (sample := _decode(line)) is not None]
    bad = len(lines) - len(samples)
    ordered = tuple(sorted(samples, key=lambda sample: sample.time_ns))
    return ordered, f"{path.name}: {bad} of {len(lines)} lines can't be read" if bad else None


class SampleLog:
    """Appends samples to one file and keeps it small."""

    def __init__(self, path: Path, most_lines: int = MOST_LINES, most_bytes: int = MOST_BYTES) -> None:
        """Create ``path`` for its owner alone; OSError where that can't be done."""
        self._path = path
        self._limits = most_lines, most_bytes
        self._lines = self._bytes = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        self._fd = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)

    def append(self, sample: SystemSample) -> bool:
        """Write one line; return whether the log was thinned, so that the interval is to double.

        OSError where the disk is full; what was written of the line is taken back where possible.
        """
        line = encode(sample)
        try:
            _write(self._fd, line)
        except OSError:
            os.ftruncate(self._fd, self._bytes)
            raise
        self._lines += 1
        self._bytes += len(line)
        if self._lines <= self._limits[0] and self._bytes <= self._limits[1]:
            return False
        self._thin()
        return True

    def _thin(self) -> None:
        """Replace the file by one with every second line."""
        kept = self._path.read_bytes().split(b"\n")[:-1][::2]
        text = b"\n".join(kept) + b"\n"
        new = self._path.with_name(self._path.name + ".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            _write(fd, text)
            new.replace(self._path)
        except OSError:
            os.close(fd)
            raise
        os.close(self._fd)
        self._fd, self._lines, self._bytes = fd, len(kept), len(text)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write(fd: int, data: bytes) -> None:
    """Write all of ``data``."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def halve(samples: Sequence[SystemSample]) -> list[SystemSample]:
    """Return every second sample, the last one always among them."""
    return list(samples[len(samples) % 2 == 0 :: 2])
