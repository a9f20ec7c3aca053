"""What this machine can do at its best, probed once in a child of the training's interpreter and kept in a cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..store import read_json, write_json
from .environment import describe

_SOURCE = Path(__file__).resolve().parent.parent / "agent" / "probes.py"
_SECONDS = 3.0  # for one device and number of threads
_LIMIT_S = 60.0  # with the import of torch on a cold disk; then there is no roofline


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
    """Return one result, from the cache where it holds one of this machine, interpreter and torch."""
    path = cache_folder() / f"roofline-{_key(python, threads)}.json"
    if not fresh:
        with contextlib.suppress(Exception):
            found = read_json(path)
            if found["threads"] == threads and found["cpu"]["bytes_per_s"] > 0:
                return dict(found)
    found = _run(python, threads)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(path, found)
    return found


def _key(python: Path | None, threads: int) -> str:
    """Return what names this machine, interpreter, torch and number of threads in the cache."""
    executable = str(python or sys.executable)
    parts = [platform.node(), _processor(), executable, _torch_version(Path(executable)), str(threads)]
    parts.append(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
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


def _run(python: Path | None, threads: int) -> dict[str, Any]:
    """Return what the probes print.

    Raises:
        ValueError: They failed, or printed something else.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [str(python or sys.executable), "-c", _SOURCE.read_text(encoding="utf-8"), str(threads), str(_SECONDS)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LIMIT_S, check=False, cwd="/",
        env={**environment, "BOTTLENECK_DISABLE": "1"},
    )  # fmt: skip
    if done.returncode:
        raise ValueError(f"the probes failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    found = json.loads(done.stdout)
    if not isinstance(found, dict):
        raise ValueError("the probes printed no object")
    return found
