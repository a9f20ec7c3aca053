"""The machine and the training's processes as seen from outside: one cheap reading at a time."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Protocol

import psutil

from ..model.record import SystemSample
from .energy import EnergyMeter
from .portable import PortableMachine, PortableProcess, PortableTree
from .proc_machine import ProcMachine
from .procfs import ProcProcess, ProcTree
from .redact import redact_argv

# Loader workers start at epoch borders, seconds apart: a listing every 2 s misses little, and costs
# more than all readings together where a machine runs thousands of processes.
LISTING_S = 2.0
# Of processes that ended the last reading is kept, so that sums over the tree never fall; a loader
# without persistent workers ends some each epoch, so only for the most recent ones.
_ENDED_KEPT = 16
# Eight ranks with sixteen workers each and their parents are 137 processes; more than this is a tree
# that we do not understand, and reading it would cost more than it tells.
_MOST_PROCESSES = 256
# What a process that has ended does not have any more; everything else is a running total.
_LIVE_ONLY = ("rss_bytes", "threads")


class _Source(Protocol):
    """Whatever gives readings: of the machine or of one process."""

    def read(self) -> dict[str, float] | None: ...

    def close(self) -> None: ...


class SystemSampler:
    """Samples the machine and the tree of processes below one process.

    Readings of the machine (all float): ``cores_busy``, ``core_max_frac``, ``steal_frac`` since the
    sample before; ``mem_total_bytes``, ``mem_available_bytes``, ``mem_limit_bytes`` (the control
    group's where that is less than the machine's), ``mem_used_bytes`` (of the group with that limit),
    ``throttled_s``, ``nr_throttled``; cumulative since boot ``swap_in_bytes``, ``swap_out_bytes``,
    ``disk_read_bytes``, ``disk_write_bytes``, ``net_bytes``, ``psi_cpu_some_s``, ``psi_io_some_s``,
    ``psi_memory_some_s``; ``package_energy_j`` of the processors since the sampler was made.

    Readings of a process: ``cpu_s``, ``ended_cpu_s`` (of its children that ended, and theirs),
    ``rss_bytes``, ``minor_faults``, ``major_faults``, ``read_bytes`` (from disks), ``rchar_bytes`` (by
    read calls), ``write_bytes``, ``voluntary_switches``, ``involuntary_switches``, ``threads``,
    ``run_queue_s`` (waiting for a core; with the switches of the first thread only), ``ppid``.

    What a system does not tell is left out; nothing here raises.
    """

    def __init__(self, pid: int, *, portable: bool = not sys.platform.startswith("linux")) -> None:
        """Prepare to sample ``pid`` and what is below it; ``portable`` reads through psutil."""
        self._pid = pid
        self._portable = portable
        self._machine: _Source = PortableMachine(pid) if portable else ProcMachine(pid)
        self._tree = PortableTree(pid) if portable else ProcTree(pid)
        self._processes: dict[int, _Source] = {}
        self._last: dict[int, Mapping[str, float]] = {}
        self._ended: dict[int, Mapping[str, float]] = {}
        self._refresh = False
        self._energy = EnergyMeter()

    def refresh(self) -> None:
        """Have the next sample list the tree anew."""
        self._refresh = True

    def sample(self, time_ns: int) -> SystemSample:
        """Return one reading of everything, stamped ``time_ns`` (monotonic)."""
        try:
            machine = self._machine.read() or {}
            joules = self._energy.read()
            machine = machine if joules is None else {**machine, "package_energy_j": joules}
            processes = self._read_processes()
        except Exception:  # a sampler that fails costs its own sample and nothing else
            return SystemSample(time_ns=time_ns, machine={}, processes={})
        return SystemSample(time_ns=time_ns, machine=machine, processes=processes)

    def _read_processes(self) -> dict[int, Mapping[str, float]]:
        members = self._tree.members(self._refresh, LISTING_S)
        self._refresh = False
        found: dict[int, Mapping[str, float]] = dict(self._ended)
        gone = []
        for pid in sorted(members)[:_MOST_PROCESSES]:
            readings = self._read(pid)
            if readings is not None:
                found[pid] = self._last[pid] = readings
            elif pid in self._processes:
                gone.append(pid)
        for pid in gone:
            found.update(self._end(pid))
        self._tree.forget(pid for pid in gone if pid != self._pid)
        return found

    def _read(self, pid: int) -> dict[str, float] | None:
        source = self._processes.get(pid)
        if source is None:
            source = PortableProcess(pid) if self._portable else ProcProcess(pid)
            self._processes[pid] = source
        readings = source.read()
        if readings is not None:
            self._ended.pop(pid, None)  # an id in use again
        return readings

    def _end(self, pid: int) -> dict[int, Mapping[str, float]]:
        """Note that ``pid`` has ended and return its last reading, if it ever gave one."""
        if pid != self._pid:
            self._processes.pop(pid).close()
        last = self._last.pop(pid, None)
        if last is None:
            return {}
        self._ended[pid] = {name: value for name, value in last.items() if name not in _LIVE_ONLY}
        while len(self._ended) > _ENDED_KEPT:
            self._ended.pop(next(iter(self._ended)))
        return {pid: self._ended[pid]} if pid in self._ended else {}

    def describe_tree(self) -> list[dict[str, Any]]:
        """Return the running processes: ``pid``, ``ppid``, ``name``, ``python``, ``command`` (redacted)."""
        found = []
        for pid in sorted(self._tree.members(True, LISTING_S))[:_MOST_PROCESSES]:
            described = _describe(pid)
            if described is not None:
                found.append(described)
        return found

    def close(self) -> None:
        """Close all files."""
        for source in (self._machine, *self._processes.values()):
            source.close()
        self._processes.clear()


def _describe(pid: int) -> dict[str, Any] | None:
    """Return what ``describe_tree`` tells of one process, or None where it has ended."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            name, command, parent = process.name(), redact_argv(process.cmdline()), process.ppid()
    except (psutil.Error, OSError):
        return None
    words = [name.lower(), command[0].rsplit("/", 1)[-1].lower() if command else ""]
    return {
        "pid": pid,
        "ppid": parent,
        "name": name[:100],
        # Loader workers rename themselves ("pt_data_worker"), so the command counts as well.
        "python": any(word.startswith(("python", "pypy")) for word in words),
        "command": " ".join(command)[:300],
    }
