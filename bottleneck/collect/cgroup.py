"""The limits that the kernel's control groups put on a process: cgroup v1, v2 and both at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# v1 writes "no limit" as the largest multiple of the page size: anything this large is none.
_NO_LIMIT = 1 << 60
# Groups nest a few levels deep (slice, pod, container, scope); a deeper tree is a broken path.
_DEEPEST = 32


def _text(path: Path) -> str:
    """Return a small file's text, or "" where it can't be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    """Return the number in a file; None where there is none ("max", -1, unreadable)."""
    words = _text(path).split()
    if not words or not words[0].isdigit():
        return None
    return float(words[0])


def _keyed(path: Path) -> dict[str, float]:
    """Return the numbers of a file of "key number" lines."""
    pairs = (line.split() for line in _text(path).splitlines())
    return {pair[0]: float(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cgroup:
    """The groups a process is in.

    Attributes:
        memory: Folders of its memory groups, its own first, then those above it that can be seen.
        cpu: The same for the CPU groups.
        memory_v2: Whether ``memory`` is of version 2.
        cpu_v2: Whether ``cpu`` is of version 2.
    """

    memory: tuple[Path, ...] = ()
    cpu: tuple[Path, ...] = ()
    memory_v2: bool = False
    cpu_v2: bool = False

    @classmethod
    def of(cls, pid: int, root: Path = Path("/")) -> Cgroup:
        """Return the groups of ``pid``; ``root`` is where /proc and /sys are found."""
        mounts = _mounts(_text(root / "proc/self/mountinfo"))
        paths = _paths(_text(root / f"proc/{pid}/cgroup"))
        memory = _folders("memory", paths, mounts, root)
        cpu = _folders("cpu", paths, mounts, root)
        unified = _folders("", paths, mounts, root)
        return cls(
            memory=memory or unified,
            cpu=cpu or unified,
            memory_v2=not memory and bool(unified),
            cpu_v2=not cpu and bool(unified),
        )

    def memory_limit(self) -> tuple[float, Path] | None:
        """Return the smallest memory limit above the process in bytes and its group, or None."""
        name = "memory.max" if self.memory_v2 else "memory.limit_in_bytes"
        limits = [(value, folder) for folder in self.memory if (value := _number(folder / name)) is not None]
        limits = [limit for limit in limits if limit[0] < _NO_LIMIT]
        return min(limits, key=lambda limit: limit[0]) if limits else None

    def memory_used(self, folder: Path) -> float | None:
        """Return what ``folder``'s group uses in bytes, without file cache that can be given back."""
        name = "memory.current" if self.memory_v2 else "memory.usage_in_bytes"
        used = _number(folder / name)
        if used is None:
            return None
        key = "inactive_file" if self.memory_v2 else "total_inactive_file"
        return max(0.0, used - _keyed(folder / "memory.stat").get(key, 0.0))

    def cpu_quota(self) -> tuple[float, Path] | None:
        """Return the smallest CPU quota above the process, in cores, and its group, or None."""
        quotas = [(cores, folder) for folder in self.cpu if (cores := self._cores(folder)) is not None]
        return min(quotas, key=lambda quota: quota[0]) if quotas else None

    def _cores(self, folder: Path) -> float | None:
        if self.cpu_v2:
            words = _text(folder / "cpu.max").split()
            if len(words) != 2 or not (words[0].isdigit() and words[1].isdigit()):
                return None
            quota, period = float(words[0]), float(words[1])
        else:
            given = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
            if given[0] is None or given[1] is None:
                return None
            quota, period = given[0], given[1]
        return quota / period if quota > 0 and period > 0 else None

    def throttling(self) -> dict[str, float]:
        """Return ``throttled_s`` and ``nr_throttled``, cumulative; zeros where no quota applies."""
        quota = self.cpu_quota()
        if quota is None:
            return {"throttled_s": 0.0, "nr_throttled": 0.0} if self.cpu else {}
        counters = _keyed(quota[1] / "cpu.stat")
        found = {}
        if "throttled_usec" in counters:
            found["throttled_s"] = counters["throttled_usec"] / 1e6
        elif "throttled_time" in counters:
            found["throttled_s"] = counters["throttled_time"] / 1e9
        if "nr_throttled" in counters:
            found["nr_throttled"] = counters["nr_throttled"]
        return found

    def readings(self, machine: Mapping[str, float]) -> dict[str, float]:
        """Return throttling, and ``mem_limit_bytes`` and ``mem_used_bytes`` where a group's limit applies."""
        found = self.throttling()
        limit = self.memory_limit()
        if limit is not None and limit[0] < machine.get("mem_total_bytes", float("inf")):
            found["mem_limit_bytes"] = limit[0]
            used = self.memory_used(limit[1])
            if used is not None:
                found["mem_used_bytes"] = used
        return found


def usable_cores(pid: int | None = None, root: Path = Path("/")) -> float:
    """Return the cores that a process may use: the lesser of affinity and CPU quota, never under 0.01.

    A quota of one and a half cores gives 1.5. ``pid`` None is the calling process.
    """
    try:
        cores = float(len(os.sched_getaffinity(pid or 0)))
    except (AttributeError, OSError):  # not on macOS and Windows, or the process has ended
        cores = float(os.cpu_count() or 1)
    quota = Cgroup.of(pid or os.getpid(), root).cpu_quota()
    return max(0.01, min(cores, quota[0])) if quota else cores


def _mounts(mountinfo: str) -> list[tuple[str, str, str, frozenset[str]]]:
    """Return (type, root, mount point, options) of each mounted hierarchy."""
    found = []
    for line in mountinfo.splitlines():
        before, dash, after = line.partition(" - ")
        left, right = before.split(), after.split()
        if dash and len(left) >= 5 and len(right) >= 3 and right[0] in ("cgroup", "cgroup2"):
            found.append((right[0], left[3], left[4], frozenset(right[2].split(","))))
    return found


def _paths(cgroup: str) -> dict[str, str]:
    """Return the group's path by controller; "" is the unified hierarchy of version 2."""
    found: dict[str, str] = {}
    for line in cgroup.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            for controller in parts[1].split(","):
                found[controller] = parts[2]
    return found


def _folders(
    controller: str, paths: Mapping[str, str], mounts: list[tuple[str, str, str, frozenset[str]]], root: Path
) -> tuple[Path, ...]:
    """Return the group's folder and those above it within the mount, or () where it is not mounted."""
    kind = "cgroup" if controller else "cgroup2"
    for mounted, top, point, options in mounts:
        if mounted != kind or (controller and controller not in options) or controller not in paths:
            continue
        base = root / point.lstrip("/")
        # In a container the mount shows only a part of the tree, whose root is `top`.
        path = paths[controller]
        inside = path[len(top) :] if top != "/" and path.startswith(top) else path
        names = [name for name in inside.split("/") if name and name != ".."][:_DEEPEST]
        chain = [base.joinpath(*names[:depth]) for depth in range(len(names), -1, -1)]
        return tuple(folder for folder in chain if folder.is_dir())
    return ()
