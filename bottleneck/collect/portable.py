"""Readings of the machine and of single processes through psutil, where there is no /proc."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import psutil

_UNREADABLE = (psutil.Error, OSError, AttributeError, NotImplementedError, RuntimeError, ValueError)


def _attempt(*parts: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Return the readings of all parts that this system gives."""
    readings: dict[str, float] = {}
    for part in parts:
        try:
            readings.update(part())
        except _UNREADABLE:
            continue
    return readings


class PortableProcess:
    """The readings of one process."""

    def __init__(self, pid: int) -> None:
        """Remember the process; one that does not exist reads as None."""
        try:
            self._process: psutil.Process | None = psutil.Process(pid)
        except _UNREADABLE:
            self._process = None

    def read(self) -> dict[str, float] | None:
        """Return the readings by name, or None where the process has ended (zombies have)."""
        process = self._process
        if process is None:
            return None
        try:
            with process.oneshot():
                if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                    return None
                return _attempt(*(partial(part, process) for part in _PROCESS_PARTS))
        except _UNREADABLE:
            return None

    def close(self) -> None:
        """Nothing is held open."""


def _times(process: psutil.Process) -> dict[str, float]:
    times = process.cpu_times()
    found = {"cpu_s": times.user + times.system, "ppid": float(process.ppid())}
    if hasattr(times, "children_user"):  # Linux; others do not tell
        found["ended_cpu_s"] = times.children_user + times.children_system
    return found


def _memory_of(process: psutil.Process) -> dict[str, float]:
    memory: Any = process.memory_info()
    found = {"rss_bytes": float(memory.rss)}
    if hasattr(memory, "pfaults"):  # macOS; others do not tell
        found.update(minor_faults=float(memory.pfaults), major_faults=float(memory.pageins))
    return found


def _io(process: psutil.Process) -> dict[str, float]:
    io = process.io_counters()
    found = {"read_bytes": float(io.read_bytes), "write_bytes": float(io.write_bytes)}
    if hasattr(io, "read_chars"):
        found["rchar_bytes"] = float(io.read_chars)
    return found


def _switches(process: psutil.Process) -> dict[str, float]:
    switches = process.num_ctx_switches()
    return {
        "voluntary_switches": float(switches.voluntary),
        "involuntary_switches": float(switches.involuntary),
    }


def _threads(process: psutil.Process) -> dict[str, float]:
    return {"threads": float(process.num_threads())}


_PROCESS_PARTS = (_times, _memory_of, _io, _switches, _threads)


class PortableMachine:
    """The readings of the machine; no control groups, no pressure: those are Linux'."""

    def __init__(self, pid: int) -> None:
        """Take the first reading that shares of CPU time are counted from."""
        self._cpu = psutil.cpu_times(percpu=True)

    def read(self) -> dict[str, float]:
        """Return the readings by name; what can't be read is left out."""
        return _attempt(self._processor, self._memory, self._swap, self._disk, self._net)

    def close(self) -> None:
        """Nothing is held open."""

    def _processor(self) -> dict[str, float]:
        before, self._cpu = self._cpu, psutil.cpu_times(percpu=True)
        cores, stolen = [], []
        for old, new in zip(before, self._cpu, strict=False):
            spent = sum(new[:8]) - sum(old[:8])
            if spent > 0:
                idle = new.idle - old.idle + getattr(new, "iowait", 0.0) - getattr(old, "iowait", 0.0)
                taken = getattr(new, "steal", 0.0) - getattr(old, "steal", 0.0)
                cores.append(min(1.0, max(0.0, (spent - idle - taken) / spent)))
                stolen.append(max(0.0, taken / spent))
        if not cores:
            return {}
        return {
            "cores_busy": sum(cores),
            "core_max_frac": max(cores),
            "steal_frac": sum(stolen) / len(stolen),
        }

    def _memory(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        return {
            "mem_total_bytes": float(memory.total),
            "mem_available_bytes": float(memory.available),
            "mem_limit_bytes": float(memory.total),
            "mem_used_bytes": float(memory.total - memory.available),
        }

    def _swap(self) -> dict[str, float]:
        swap = psutil.swap_memory()
        return {"swap_in_bytes": float(swap.sin), "swap_out_bytes": float(swap.sout)}

    def _disk(self) -> dict[str, float]:
        disk = psutil.disk_io_counters()
        if disk is None:
            return {}
        return {"disk_read_bytes": float(disk.read_bytes), "disk_write_bytes": float(disk.write_bytes)}

    def _net(self) -> dict[str, float]:
        links = psutil.net_io_counters(pernic=True)
        counted = [link for name, link in links.items() if not name.lower().startswith("lo")]
        return {"net_bytes": float(sum(link.bytes_sent + link.bytes_recv for link in counted))}


class PortableTree:
    """Finds the processes below ``root``."""

    def __init__(self, root: int) -> None:
        """Start with ``root`` alone."""
        self._root = root
        self._tree = {root}
        self._time = 0.0

    def members(self, refresh: bool, every_s: float) -> tuple[int, ...]:
        """Return the ids in the tree, listed anew where ``refresh`` or the last time is ``every_s`` ago."""
        now = time.monotonic()
        if refresh or now - self._time >= every_s:
            self._time = now
            try:
                found = psutil.Process(self._root).children(recursive=True)
                self._tree.update(child.pid for child in found)
            except _UNREADABLE:
                pass
        return tuple(self._tree)

    def forget(self, pids: Iterable[int]) -> None:
        """Drop ended processes."""
        self._tree.difference_update(pids)
