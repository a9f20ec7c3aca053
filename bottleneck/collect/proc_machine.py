"""Readings of the machine from Linux' /proc: cores, memory, disks, network, stalls."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from .cgroup import Cgroup
from .procfs import PAGE, ProcFile, keyed_numbers

_SECTOR = 512  # diskstats counts in 512-byte sectors whatever the disk's own size is
# Devices stacked on others would count the same bytes twice.
_STACKED_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd")


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
        with contextlib.suppress(OSError, ValueError, IndexError):
            readings.update(self._cgroup.readings(readings))
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
        found = keyed_numbers(self._files["meminfo"].read() or b"", keys, 1024.0)
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
                found[name] = float(text[at + len(key) :].split(b"\n", 1)[0]) * PAGE
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
