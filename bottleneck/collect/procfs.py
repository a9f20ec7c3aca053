"""Readings of the machine and of single processes from Linux' /proc, on files that are kept open."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from .cgroup import Cgroup

_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_SECTOR = 512  # diskstats counts in 512-byte sectors whatever the disk's own size is
_READ = 1 << 16  # /proc/stat needs about 90 bytes per core: enough for 700 cores in one read
# Devices stacked on others would count the same bytes twice.
_STACKED_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")


class ProcFile:
    """One file under /proc, read from its start again and again.

    The open descriptor also guards against a process id that is used a second time: reading the
    file of a process that ended fails, it never gives another process' values.
    """

    def __init__(self, path: str) -> None:
        """Open ``path``; a file that can't be opened reads as None."""
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            pass

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


def cpu_times(stat: bytes) -> dict[bytes, tuple[int, int, int]]:
    """Return (busy, stolen, all) clock ticks by line name ("cpu0", "cpu1", ...) of /proc/stat's text."""
    found: dict[bytes, tuple[int, int, int]] = {}
    for line in stat.split(b"\n"):
        if not line.startswith(b"cpu"):
            break
        name, *fields = line.split()
        ticks = [int(field) for field in fields[:8]] + [0] * max(0, 8 - len(fields))
        stolen, total = ticks[7], sum(ticks)
        if name != b"cpu":
            found[name] = (total - ticks[3] - ticks[4] - stolen, stolen, total)
    return found


def cpu_use(
    before: Mapping[bytes, tuple[int, int, int]], after: Mapping[bytes, tuple[int, int, int]]
) -> dict[str, float]:
    """Return ``cores_busy``, ``core_max_frac`` and ``steal_frac`` between two readings of ``cpu_times``."""
    cores = []
    for name, (busy, stolen, total) in after.items():
        old = before.get(name)
        if old is not None and total > old[2]:
            # iowait may run backwards by a tick, so busy can come out as -1 or total + 1
            spent = total - old[2]
            cores.append((min(max(busy - old[0], 0), spent) / spent, max(stolen - old[1], 0) / spent))
    if not cores:
        return {}
    return {
        "cores_busy": sum(core[0] for core in cores),
        "core_max_frac": max(core[0] for core in cores),
        "steal_frac": sum(core[1] for core in cores) / len(cores),
    }


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
        "threads": float(fields[17]),
        "rss_bytes": float(int(fields[21]) * _PAGE),
    }
    return readings, fields[0].decode("ascii", "replace")


def _keyed(text: bytes, keys: Mapping[bytes, str], scale: float = 1.0) -> dict[str, float]:
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

    _IO = {b"rchar": "rchar_bytes", b"read_bytes": "read_bytes", b"write_bytes": "write_bytes"}
    _STATUS = {
        b"voluntary_ctxt_switches": "voluntary_switches",
        b"nonvoluntary_ctxt_switches": "involuntary_switches",
    }

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
        readings.update(_keyed(self._io.read() or b"", self._IO))
        readings.update(_keyed(self._status.read() or b"", self._STATUS))
        queue = (self._sched.read() or b"").split()
        if len(queue) >= 2:
            readings["run_queue_s"] = int(queue[1]) / 1e9
        return readings

    def close(self) -> None:
        """Close the files."""
        for file in (self._stat, self._io, self._sched, self._status):
            file.close()


class ProcMachine:
    """The readings of the machine, with the limits of the control group that ``pid`` is in."""

    def __init__(self, pid: int) -> None:
        """Open the files and take the first reading that shares of CPU time are counted from."""
        names = ("stat", "meminfo", "vmstat", "diskstats", "net/dev")
        self._files = {name: ProcFile(f"/proc/{name}") for name in names}
        self._pressure = {name: ProcFile(f"/proc/pressure/{name}") for name in ("cpu", "io", "memory")}
        self._cgroup = Cgroup.of(pid)
        self._disks: dict[bytes, bool] = {}
        self._links: dict[bytes, bool] = {}
        self._cpu = cpu_times(self._files["stat"].read() or b"")

    def read(self) -> dict[str, float]:
        """Return the readings by name; what can't be read is left out."""
        readings: dict[str, float] = {}
        for part in (self._processor, self._memory, self._swap, self._disk, self._net, self._stalls):
            try:
                readings.update(part())
            except (OSError, ValueError, IndexError):
                continue  # a kernel with another format loses this part and nothing else
        try:
            readings.update(self._cgroup.readings(readings))
        except (OSError, ValueError, IndexError):
            pass
        return readings

    def close(self) -> None:
        """Close the files."""
        for file in (*self._files.values(), *self._pressure.values()):
            file.close()

    def _processor(self) -> dict[str, float]:
        after = cpu_times(self._files["stat"].read() or b"")
        use = cpu_use(self._cpu, after)
        if use:
            self._cpu = after
        return use

    def _memory(self) -> dict[str, float]:
        keys = {b"MemTotal": "mem_total_bytes", b"MemAvailable": "mem_available_bytes"}
        found = _keyed(self._files["meminfo"].read() or b"", keys, 1024.0)
        if len(found) == 2:
            found["mem_used_bytes"] = found["mem_total_bytes"] - found["mem_available_bytes"]
            found["mem_limit_bytes"] = found["mem_total_bytes"]
        return found

    def _swap(self) -> dict[str, float]:
        text = self._files["vmstat"].read() or b""
        found = {}
        for key, name in ((b"\npswpin ", "swap_in_bytes"), (b"\npswpout ", "swap_out_bytes")):
            at = text.find(key)
            if at >= 0:
                found[name] = float(text[at + len(key) :].split(b"\n", 1)[0]) * _PAGE
        return found

    def _disk(self) -> dict[str, float]:
        rows = [line.split() for line in (self._files["diskstats"].read() or b"").splitlines()]
        whole = [row for row in rows if len(row) > 9 and self._is_disk(row[2])]
        if not whole:
            return {}
        return {
            "disk_read_bytes": float(sum(int(row[5]) for row in whole) * _SECTOR),
            "disk_write_bytes": float(sum(int(row[9]) for row in whole) * _SECTOR),
        }

    def _is_disk(self, name: bytes) -> bool:
        """Return whether ``name`` is a whole disk, neither partition nor stacked on other disks."""
        if name not in self._disks:
            text = name.decode("ascii", "replace")
            partition = Path(f"/sys/class/block/{text}/partition").exists()
            self._disks[name] = not partition and not text.startswith(_STACKED_DISKS)
        return self._disks[name]

    def _net(self) -> dict[str, float]:
        found: dict[bytes, int] = {}
        for line in (self._files["net/dev"].read() or b"").splitlines():
            name, colon, rest = line.rpartition(b":")
            fields = rest.split()
            if colon and name.strip() != b"lo" and len(fields) >= 9:
                found[name.strip()] = int(fields[0]) + int(fields[8])
        # Bridges and tunnels carry what a network card carries as well; a container sees only such links.
        cards = [name for name in found if self._is_card(name)] or list(found)
        return {"net_bytes": float(sum(found[name] for name in cards))} if found else {}

    def _is_card(self, name: bytes) -> bool:
        if name not in self._links:
            self._links[name] = Path(f"/sys/class/net/{name.decode('ascii', 'replace')}/device").exists()
        return self._links[name]

    def _stalls(self) -> dict[str, float]:
        found = {}
        for name, file in self._pressure.items():
            first = (file.read() or b"").split(b"\n", 1)[0]
            if first.startswith(b"some ") and b"total=" in first:
                found[f"psi_{name}_some_s"] = int(first.rsplit(b"=", 1)[1]) / 1e6
        return found


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
            try:
                self._list()
            except OSError:
                pass
        return tuple(self._tree)

    def forget(self, pids: Iterable[int]) -> None:
        """Drop ended processes."""
        for pid in pids:
            self._tree.discard(pid)
            self._seen.discard(pid)

    def _list(self) -> None:
        present = {int(name) for name in os.listdir("/proc") if name.isdigit()}
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
