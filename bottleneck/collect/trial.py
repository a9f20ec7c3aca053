"""Runs one arm of a trial: a fresh, disposable process of the unmodified script, with or without a change."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..model.arm import Arm
from ..model.trial import Change
from ..store.arms import load_arm
from . import boot
from .cgroup import Cgroup
from .devices import DeviceReader
from .launch import Child
from .orders import OrderBook
from .sampling import SamplerThread
from .system import SystemSampler
from .target import Target

OUTPUT = "output.log"
_TICK_S = 0.05
_SAMPLE_S = 0.25  # an arm lasts seconds: at twice the usual rate a pair has some ten readings
_GRACE_S = 10.0  # after the last step: an orderly end, then SIGTERM, then SIGKILL; nothing of it is kept
_LAST_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How an arm is run; both of a pair alike.

    Attributes:
        steps: Optimizer steps after which it is stopped.
        seed: Of Python's, NumPy's and torch's generators, for scripts that set none.
        padding: Characters of a variable that means nothing: where the stack begins must not decide.
        limit_s: After so many seconds it is given up.
        folder: Where the script is started; None for where we are.
    """

    steps: int
    seed: int
    padding: int
    limit_s: float
    folder: Path | None = None


def run_arm(
    target: Target,
    run: Path,
    changes: Sequence[Change],
    conditions: Conditions,
    devices: DeviceReader | None = None,
) -> Arm:
    """Run ``target`` with ``changes`` below the new folder ``run``; return what it did.

    ``devices`` reads the GPUs meanwhile, where there are some.

    Nothing the script saves reaches its real places; its output goes to ``run/output.log``.

    Raises:
        KeyboardInterrupt: The user pressed Ctrl-C; the process is ended.
        OSError: The folder could not be written.
    """
    run.mkdir(parents=True)
    folder = boot.make(run, target.form == "launcher", _settings(run, changes, conditions))
    OrderBook(run).give("stop", at=conditions.steps)
    began, used = time.perf_counter_ns(), _children_cpu_s()
    with (run / OUTPUT).open("wb") as output:
        child = Child(target.argv, folder, _variables(conditions), output, conditions.folder)
        sampler = SamplerThread(SystemSampler(child.pid), run, devices, _SAMPLE_S)
        sampler.start()
        try:
            code, problem = _follow(child, run, conditions)
        finally:
            sampler.stop()
            child.release_signals()
    shutil.rmtree(run / "scratch", ignore_errors=True)
    seconds = (time.perf_counter_ns() - began) / 1e9
    # of a process that was killed the children are nobody's, and their time is not known
    cpu_s = None if code is None else _children_cpu_s() - used
    arm = load_arm(run, began, seconds, cpu_s, problem or _why(code, run, conditions))
    quota = Cgroup.of(os.getpid()).cpu_quota()
    shutil.rmtree(folder, ignore_errors=True)
    return arm if quota is None else replace(arm, quota_cores=quota[0])


def _children_cpu_s() -> float:
    """Return the CPU seconds of all processes that ended below this one."""
    times = os.times()
    return times.children_user + times.children_system


def _settings(run: Path, changes: Sequence[Change], conditions: Conditions) -> dict[str, Any]:
    """Return what the agent is told."""
    return {
        "trial": {"seed": conditions.seed},
        "scratch": str(run / "scratch"),
        "overrides": boot.overrides(changes),
    }


def _variables(conditions: Conditions) -> Mapping[str, str]:
    """Return what is added to the environment."""
    return {
        "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", str(conditions.seed)),
        "BOTTLENECK_PADDING": "x" * conditions.padding,
    }


def _follow(child: Child, run: Path, conditions: Conditions) -> tuple[int | None, str]:
    """Wait for the end; return the exit code (None: we ended it) and what went wrong, if anything."""
    limit, stopped = time.monotonic() + conditions.limit_s, None
    while (code := child.wait(_TICK_S)) is None:
        now = time.monotonic()
        if child.interrupts:
            _end(child)
            raise KeyboardInterrupt
        if stopped is None and _has_stopped(run):
            stopped = now
        if stopped is not None and now > stopped + _GRACE_S:
            _end(child)
            return None, ""
        if now > limit:
            _end(child)
            return None, f"it was given up after {conditions.limit_s:.0f} s"
    if child.interrupts and not _has_stopped(run):
        raise KeyboardInterrupt
    return code, ""


def _has_stopped(run: Path) -> bool:
    """Return whether the agents have carried out the order to stop."""
    return (run / "stopped").exists()


def _end(child: Child) -> None:
    """End the process: it may be in the middle of anything, and nothing of it is kept."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(OSError):
            child.send(number)
        if child.wait(patience) is not None:
            return


def _why(code: int | None, run: Path, conditions: Conditions) -> str:
    """Return why an arm that ended with ``code`` can't be used, "" where it can."""
    if code in (0, None) or _has_stopped(run):
        return ""
    how = (
        f"ended with code {code}" if code is not None and code >= 0 else f"was ended by signal {-(code or 0)}"
    )
    last = _last_lines(run / OUTPUT)
    return f"the script {how}" + (f": {last}" if last else "")


def _last_lines(path: Path) -> str:
    """Return the end of what it printed, in one line."""
    try:
        text = path.read_bytes()[-4096:].decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-_LAST_LINES:])[-400:]
