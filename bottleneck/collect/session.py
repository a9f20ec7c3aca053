"""One measured run from start to end: child, samplers, watcher, and the run file that binds their results."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from ..model.record import Failure
from ..model.trial import Change
from ..store import RUN_FILE, SCHEMA, write_json
from ..version import __version__
from . import boot, environment
from .devices import DeviceReader
from .experiments import Ceilings
from .folder import NoSpace
from .launch import Child
from .redact import redact_argv
from .sampling import SamplerThread
from .system import SystemSampler
from .target import Target
from .watch import Limits, LookAt, Stage, Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the target ended.

    Attributes:
        code: Its exit code; negative for a signal.
        stopped_by_us: The command ended it because enough was measured.
        interrupts: How often the user pressed Ctrl-C.
    """

    code: int
    stopped_by_us: bool
    interrupts: int


def measure(
    target: Target,
    run: Path,
    limits: Limits,
    look_at: LookAt,
    say: Callable[[str], None],
    stages: Sequence[Stage] = (),
    changes: Sequence[Change] = (),
    disposable: bool = False,
    at_stop: Callable[[], None] | None = None,
) -> Ended:
    """Run ``target`` with the agent aboard and leave its record in ``run``; return how it ended.

    ``changes`` are made to it at run time: a recipe. Of a ``disposable`` run
    nothing is kept: what it saves goes to a scratch folder, what it prints to ``run/output.log``.
    ``at_stop`` is called when all is measured and the target has been asked to end.

    Raises:
        NoSpace: The agent does not fit on the disk; nothing was started.
    """
    begin_cpu = _own_cpu()
    folder = _board(run, target, changes, disposable)
    output = (run / "output.log").open("wb") if disposable else None
    child = Child(target.argv, folder, output=output)
    try:
        facts = _facts(target, run, child)
        facts["changes"] = msgspec.to_builtins(list(changes))
        _write(run, facts)
        sampler = SamplerThread(SystemSampler(child.pid), run, devices=_devices(facts))
        sampler.start()
        ranks, link = target.form == "launcher", any(stage.name == Ceilings.name for stage in stages)
        watcher = Watcher(run, child, limits, look_at, say, ranks, stages, link, at_stop)
        watcher.library_paths = tuple(facts["environment"].get("library_paths", ()))
        code = watcher.follow()
        end_ns = time.perf_counter_ns()
        sampler.stop()
    finally:
        child.release_signals()
        if output is not None:
            output.close()
    facts["outcome"] = _outcome(code, watcher.stopped, child.start_ns, end_ns)
    facts["failures"] += [_row(failure) for failure in (*watcher.failures, *sampler.failures)]
    for stage in stages:
        facts["failures"] += [_row(failure) for failure in getattr(stage, "failures", ())]
    shutil.rmtree(run / "scratch", ignore_errors=True)  # what the script saved during the experiments
    facts["overhead"] = {"cpu_s": _own_cpu() - begin_cpu + watcher.cpu_s, "record_bytes": _size(run)}
    _write(run, facts)
    return Ended(code=code, stopped_by_us=watcher.stopped, interrupts=child.interrupts)


def _board(run: Path, target: Target, changes: Sequence[Change], disposable: bool) -> Path:
    """Return the boot folder; where the disk is full take back what was written of it."""
    try:
        settings: dict[str, Any] = {"overrides": boot.overrides(changes)}
        if disposable:
            settings["scratch"] = str(run / "scratch")
        return boot.make(run, target.form == "launcher", settings)
    except OSError as error:
        shutil.rmtree(run / "boot", ignore_errors=True)
        raise NoSpace(f"{run}: {error.strerror or error}") from error


def _facts(target: Target, run: Path, child: Child) -> dict[str, Any]:
    """Return the run file as far as it is known at the start."""
    about = environment.describe(target.python)
    about["library_paths"] = [*environment.library_paths(target.python), str(run / "boot")]
    return {
        "schema": SCHEMA,
        "run_id": run.name,
        "tool_version": __version__,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": {
            "argv": redact_argv(list(target.argv)),
            "form": target.form,
            "script": target.script,
            "folder": str(Path.cwd()),
        },
        "environment": about,
        "outcome": {"start_ns": child.start_ns},
        "failures": [],
        "overhead": {},
    }


def _devices(facts: dict[str, Any]) -> DeviceReader | None:
    """Return a reader of GPUs, or None and the reason among the failures."""
    reader = DeviceReader()
    if reader.reason:
        facts["failures"].append({"collector": "devices", "reason": reader.reason})
        return None
    facts["environment"]["devices"] = reader.static()
    return reader


def _outcome(code: int, stopped: bool, start_ns: int, end_ns: int) -> Mapping[str, Any]:
    """Return the end of the target as the run file tells it."""
    name = None
    if code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
    return {
        "exit_code": code if code >= 0 else 128 - code,
        "signal": name,
        "stopped_by_us": stopped,
        "start_ns": start_ns,
        "end_ns": end_ns,
    }


def _row(failure: Failure) -> dict[str, str]:
    """Return a failure as the run file tells it."""
    return {"collector": failure.collector, "reason": failure.reason}


def _write(run: Path, facts: Mapping[str, Any]) -> None:
    """Write the run file; a full disk is no reason to end the training."""
    with contextlib.suppress(OSError):
        write_json(run / RUN_FILE, facts)


def _own_cpu() -> float:
    """Return the CPU seconds of this process."""
    times = os.times()
    return times.user + times.system


def _size(run: Path) -> float:
    """Return the bytes of all files of the run."""
    total = 0
    for path in run.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size if not path.is_symlink() else 0
    return float(total)


def run_plain(target: Target) -> int:
    """Run ``target`` without measuring it, for want of space for a record; return its exit code."""
    child = Child(target.argv, boot=None)
    try:
        while (code := child.wait(1.0)) is None:
            continue
        return code
    finally:
        child.release_signals()
