"""Readings of single processes from Linux' /proc, on files that are kept open, and the tree they form."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_READ = 1 << 16  # /proc/stat needs about 90 bytes per core: enough for 700 cores in one read
_IO = {b"rchar": "rchar_bytes", b"read_bytes": "read_bytes", b"write_bytes": "write_bytes"}
_STATUS = {
    b"voluntary_ctxt_switches": "voluntary_switches",
    b"nonvoluntary_ctxt_switches": "involuntary_switches",
}


class ProcFile:
    """One file under /proc, read from its start again and again.

    The open descriptor also guards against a process id that is used a second time: reading the
    file of a process that ended fails, it never gives another process' values.
    """

    def __init__(self, path: str) -> None:
        """Open ``path``; a file that can't be opened reads as None."""
        self._fd = -1
        with contextlib.suppress(OSError):
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> bytes | None:
        """Return the content (at most 64 KiB), or None where it can't be read (any more)."""
        if self._fd < 0:
            return None
        try:
            return os.pread(self._fd, _READ, 0)
        except OSError:
            return None

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def parse_stat(text: bytes) -> tuple[dict[str, float], str] | None:
    """Return the readings of /proc/<pid>/stat and the state letter, or None where the text is damaged."""
    # The name in parentheses may hold spaces and parentheses itself: cut at the last one.
    fields = text[text.rfind(b")") + 1 :].split()
    if len(fields) < 22:
        return None
    readings = {
        "ppid": float(fields[1]),
        "minor_faults": float(fields[7]),
        "major_faults": float(fields[9]),
        "cpu_s": (int(fields[11]) + int(fields[12])) / _TICK,
        "ended_cpu_s": (int(fields[13]) + int(fields[14])) / _TICK,
        "threads": float(fields[17]),
        "rss_bytes": float(int(fields[21]) * PAGE),
    }
    return readings, fields[0].decode("ascii", "replace")


def keyed_numbers(text: bytes, keys: Mapping[bytes, str], scale: float = 1.0) -> dict[str, float]:
    """Return the numbers of "key: 12 kB" lines by the names that ``keys`` gives them."""
    found = {}
    for line in text.split(b"\n"):
        key, _, rest = line.partition(b":")
        if key in keys:
            found[keys[key]] = float(rest.split()[0]) * scale
    return found


class ProcProcess:
    """The readings of one process.

    Context switches and the time in the run queue are those of its first thread: the kernel keeps
    them per thread, and reading every thread would cost more than they tell.
    """

    def __init__(self, pid: int) -> None:
        """Open the files of ``pid``."""
        self._stat, self._io, self._sched, self._status = (
            ProcFile(f"/proc/{pid}/{name}") for name in ("stat", "io", "schedstat", "status")
        )

    def read(self) -> dict[str, float] | None:
        """Return the readings by name, or None where the process has ended (zombies have)."""
        stat = self._stat.read()
        parsed = parse_stat(stat) if stat else None
        if parsed is None or parsed[1] in "ZX":
            return None
        readings = parsed[0]
        if parsed[1] in "Tt":  # by SIGSTOP, or by a debugger
            readings["stopped"] = 1.0
        readings.update(keyed_numbers(self._io.read() or b"", _IO))
        readings.update(keyed_numbers(self._status.read() or b"", _STATUS))
        queue = (self._sched.read() or b"").split()
        if len(queue) >= 2:
            readings["run_queue_s"] = int(queue[1]) / 1e9
        return readings

    def close(self) -> None:
        """Close the files."""
        for file in (self._stat, self._io, self._sched, self._status):
            file.close()


class ProcTree:
    """Finds the processes below ``root``.

    A process' parent is read once, when its id is first seen, so that a listing costs one look at
    the names in /proc. A child whose parent ended stays in the tree.
    """

    def __init__(self, root: int) -> None:
        """Start with ``root`` alone."""
        self._seen: set[int] = set()
        self._tree = {root}
        self._time = 0.0

    def members(self, refresh: bool, every_s: float) -> tuple[int, ...]:
        """Return the ids in the tree, listed anew where ``refresh`` or the last time is ``every_s`` ago."""
        now = time.monotonic()
        if refresh or now - self._time >= every_s:
            self._time = now
            with contextlib.suppress(OSError):
                self._list()
        return tuple(self._tree)

    def forget(self, pids: Iterable[int]) -> None:
        """Drop ended processes."""
        for pid in pids:
            self._tree.discard(pid)
            self._seen.discard(pid)

    def _list(self) -> None:
        present = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - names only
        parents = {pid: parent for pid in present - self._seen if (parent := _parent(pid)) is not None}
        self._seen = present & (self._seen | set(parents))
        added = True
        while added:  # children of children, whatever the order of the ids
            new = [pid for pid, parent in parents.items() if parent in self._tree and pid not in self._tree]
            self._tree.update(new)
            added = bool(new)


def _parent(pid: int) -> int | None:
    """Return the parent of ``pid``, or None where it has ended or can't be read."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    parsed = parse_stat(text)
    return None if parsed is None else int(parsed[0]["ppid"])
