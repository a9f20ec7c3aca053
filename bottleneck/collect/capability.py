"""What can be measured on this machine, and how to enable the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

from .cgroup import Cgroup
from .devices import DeviceReader
from .environment import interpreter
from .stacks import find_pyspy, try_pyspy


class Capability(TypedDict):
    """One thing that may or may not be measured.

    Attributes:
        what: What is measured.
        available: Whether it can be, here.
        reason: Why not; "" where it can.
        how_to_enable: What to do about it; "" where nothing is needed or nothing helps.
    """

    what: str
    available: bool
    reason: str
    how_to_enable: str


def _found(what: str, reason: str = "", how: str = "") -> Capability:
    return {"what": what, "available": not reason, "reason": reason, "how_to_enable": how if reason else ""}


def capabilities(python: Path | None = None) -> list[Capability]:
    """Return what can be measured when ``python`` (None: this interpreter) trains on this machine."""
    return [
        _torch(python),
        _stacks(python),
        _gpu(),
        _pressure(),
        _cgroup(),
        _readable("/proc/self/io", "bytes read and written by each process"),
        _readable("/proc/self/schedstat", "time that each process waits for a core"),
    ]


def _torch(python: Path | None) -> Capability:
    what = "steps and phases of PyTorch training"
    executable = python or Path(sys.executable)
    asked = interpreter(python)
    if "reason" in asked:
        return _found(what, str(asked["reason"]), "name a working interpreter with --python PATH")
    version = tuple(int(part) for part in str(asked.get("version", "0.0")).split(".")[:2] if part.isdecimal())
    if version < (3, 9):  # what the agent inside the training needs
        return _found(what, f"{executable} is Python {asked['version']}", "use Python 3.9 or newer")
    # find_spec does not import torch, which would take seconds
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    try:
        done = subprocess.run(
            [str(executable), "-c", code],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=20,
            cwd="/" if os.name == "posix" else None,
        )  # fmt: skip
        missing = done.returncode != 0
    except (OSError, subprocess.SubprocessError):
        missing = True
    how = "name the environment that trains with --python PATH"
    return _found(what, f"{executable} has no torch" if missing else "", how)


def _stacks(python: Path | None) -> Capability:
    what = "Python stacks: which line the time goes to"
    path, reason = find_pyspy()
    if path is None:
        return _found(what, reason, "pip install py-spy")
    reason = _try_stacks(path, python or Path(sys.executable))
    return _found(what, reason, _how_to_trace(reason))


def _try_stacks(pyspy: Path, python: Path) -> str:
    """Return "" where py-spy can read a process of ours, tried on one that waits."""
    try:
        target = subprocess.Popen(
            [str(python), "-I", "-c", "print(flush=True); input()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        return f"{python} can't be started: {error.strerror}"
    try:
        assert target.stdout is not None
        target.stdout.readline()  # it is up
        return try_pyspy(pyspy, target.pid)
    finally:
        target.kill()
        target.communicate()


def _how_to_trace(reason: str) -> str:
    if "permission" not in reason:
        return "install a py-spy that knows this version of Python: pip install -U py-spy"
    try:
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text(encoding="ascii").strip()
    except OSError:
        scope = ""
    if scope in ("1", "2", "3"):
        return f"ptrace_scope is {scope}: sudo sysctl kernel.yama.ptrace_scope=0"
    return "in a container: docker run --cap-add SYS_PTRACE; on macOS: run with sudo"


def _gpu() -> Capability:
    reason = DeviceReader().reason
    how = "pip install nvidia-ml-py" if "not installed" in reason else ""
    return _found("NVIDIA GPUs: utilisation, memory, clocks, power (NVML)", reason, how)


def _pressure() -> Capability:
    what = "time stalled for CPU, memory and I/O (PSI)"
    try:
        Path("/proc/pressure/cpu").read_bytes()
    except OSError:
        reason = "this kernel does not keep pressure stall information"
        return _found(what, reason, "Linux 4.20 or newer, booted with psi=1")
    return _found(what)


def _cgroup() -> Capability:
    what = "limits and throttling of the container (cgroup)"
    group = Cgroup.of(os.getpid())
    if group.cpu or group.memory:
        return _found(what)
    return _found(what, "no control groups are mounted here", "mount /sys/fs/cgroup into the container")


def _readable(path: str, what: str) -> Capability:
    try:
        Path(path).read_bytes()
    except OSError as error:
        return _found(what, f"{path}: {error.strerror}")
    return _found(what)
