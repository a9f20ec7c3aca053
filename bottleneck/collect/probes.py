"""What this machine can do at its best, probed once in a child of the training's interpreter and kept in a cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from ..store import read_json, write_json
from .aside import Aside
from .environment import describe

_SOURCE = Path(__file__).resolve().parent.parent / "agent" / "probes.py"
_SECONDS = 3.0  # for one device and number of threads
_LIMIT_S = 60.0  # with the import of torch on a cold disk; then there is no roofline
_BUSY = 0.10  # of the cores' time: one program on one of two cores takes half of it
# Probes in one run, and in all, of a machine that is never quiet: each takes five seconds of the user's time.
_AT_ONCE, _MOST = 2, 4


def cache_folder() -> Path:
    """Return the folder that holds earlier probes: ``$XDG_CACHE_HOME/bottleneck``, else below ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache"
    return root / "bottleneck"


def roofline(python: Path | None = None, threads: int | None = None, fresh: bool = False) -> dict[str, Any]:
    """Return the probes with ``threads`` threads and with all usable cores, from the cache unless ``fresh``.

    ``threads``: how many the training uses; ``own`` and ``all`` hold one result each as ``agent/probes.py`` gives
    it, the same one where the numbers agree; ``reason`` instead where they could not be had.
    """
    cores = max(1, int(describe(python)["cpu"]["usable_cores"] or 1))
    try:
        every = _probed(python, cores, fresh)
        own = every if threads in (None, cores) else _probed(python, int(threads or 0), fresh)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return {"reason": f"{type(error).__name__}: {error}"[:500]}
    return {"own": own, "all": every, "cores": cores}


def _probed(python: Path | None, threads: int, fresh: bool) -> dict[str, Any]:
    """Return one result, from the cache where it holds one of this machine, interpreter and torch.

    While other programs have the cores a probe finds less than the machine can do, and the next runs would be
    judged by that. It is made again then, now and in the next runs, and the best of all is kept.
    """
    path = cache_folder() / f"roofline-{_key(python, threads)}.json"
    found = {} if fresh else _cached(path, threads)
    for _ in range(_AT_ONCE):
        if found.get("quiet") or found.get("probes", 0) >= _MOST:
            break
        result, busy = _run(python, threads)
        found = best_of(found, result)
        found["probes"], found["quiet"] = found.get("probes", 0) + 1, busy < _BUSY
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_json(path, found)
    return found


def _cached(path: Path, threads: int) -> dict[str, Any]:
    """Return an earlier result, {} where there is none."""
    with contextlib.suppress(Exception):
        found = read_json(path)
        if found["threads"] == threads and found["cpu"]["bytes_per_s"] > 0:
            return dict(found)
    return {}


def _least_fault(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, float]:
    """Return the lesser cost of a page, nothing where neither has one."""
    found = [one["fault_s"] for one in (first, second) if one.get("fault_s")]
    return {"fault_s": min(found)} if found else {}


def best_of(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return two results of the same probes as one: a roof is what the machine can do when nothing disturbs it."""
    merged = {**one, **other}
    for device in ("cpu", "cuda"):
        if device in one and device in other:
            first, second = one[device], other[device]
            rates = (first["flops_per_s"], second["flops_per_s"])
            merged[device] = {
                **second,
                **_least_fault(first, second),
                "flops_per_s": {k: max(r.get(k, 0.0) for r in rates) for k in rates[0] | rates[1]},
                "bytes_per_s": max(first["bytes_per_s"], second["bytes_per_s"]),
                "launch_s": min(first["launch_s"], second["launch_s"]),
            }
    return merged


def _key(python: Path | None, threads: int) -> str:
    """Return what names this machine, interpreter, torch, number of threads and probes in the cache."""
    executable = str(python or sys.executable)
    parts = [platform.node(), _processor(), executable, _torch_version(Path(executable)), str(threads)]
    parts += [os.environ.get("CUDA_VISIBLE_DEVICES", ""), _SOURCE.read_text(encoding="utf-8")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _processor() -> str:
    """Return the model of the processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _torch_version(python: Path) -> str:
    """Return torch's version as the interpreter's metadata tell it, without importing torch; "" where unknown."""
    code = "from importlib.metadata import version; print(version('torch'))"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, timeout=20, check=False, cwd="/"
        )
        return done.stdout.strip()
    return ""


def _run(python: Path | None, threads: int) -> tuple[dict[str, Any], float]:
    """Return what the probes print, and what others had of the cores meanwhile; errors as of ``Aside.printed``."""
    code = _SOURCE.read_text(encoding="utf-8")
    began, before = time.monotonic(), _of_others()
    with Aside(python) as aside:
        found = aside.printed("the probes", code, [str(threads), str(_SECONDS)], _LIMIT_S)
    taken, passed = _of_others() - before, time.monotonic() - began
    return found, max(0.0, taken) / passed / (psutil.cpu_count() or 1)


def _of_others() -> float:
    """Return the CPU seconds of this machine, its hypervisor's included, that neither we nor our children had."""
    every, ours = psutil.cpu_times(), os.times()
    idle = every.idle + getattr(every, "iowait", 0.0)
    # Linux counts the time of guests among user and nice already.
    guests = getattr(every, "guest", 0.0) + getattr(every, "guest_nice", 0.0)
    return float(sum(every) - idle - guests) - sum(ours[:4])
