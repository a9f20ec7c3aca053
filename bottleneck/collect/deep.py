"""The stage that asks the agents for a deep window, and what the command makes of the traces they exported."""

from __future__ import annotations

import contextlib
import gzip
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..model.record import Failure, ProcessRecord
from ..store import ROOFLINE, RUN_FILE, read_json, write_json
from . import probes
from .aside import Aside
from .replay import SECONDS, replay
from .trace_operators import has_device_work, summary
from .watch import Look

FOLDER = "deep"
_STEPS = 3  # under the profiler
_AROUND = 5  # steps of the window besides: one to warm up and three to count, one to warm the profiler up
_FLAT_S = 10.0  # what the window may take besides five times its steps
_FACTOR = 5.0
_SLOW_S = 20.0  # steps longer than this are not looked at: the window would last for minutes
_TRIES = 2  # a window that a fork ended may be had a few steps later
_MOST_THREADS = 4_096
_MAX_TRACE = 256 << 20  # larger ones are not read
_KEPT = 8 << 20  # compressed traces up to this size stay in the run folder unasked


class DeepStage:
    """Asks for one window, a second time where the first came to nothing because a process was forked."""

    name = "deep"

    def __init__(self, run: Path) -> None:
        """Let the agents write below the folder ``run``."""
        self._out = run / FOLDER
        self._number = 0
        self._again = True
        self._window_s = _FLAT_S

    @property
    def limit_s(self) -> float:
        """Return when the window is given up: what it may take, and as long again to reach it."""
        return 2 * self._window_s + 10.0

    def order(self, look: Look) -> Mapping[str, Any] | None:
        """Return the details of the order, None once the window was had, or where steps take too long."""
        if not self._again or self._number >= _TRIES or not 0 < look.step_s <= _SLOW_S:
            return None
        with contextlib.suppress(OSError):
            self._out.mkdir(exist_ok=True)
        self._number += 1
        self._window_s = _FLAT_S + _FACTOR * (_STEPS + _AROUND) * look.step_s
        # Half of the flat part is left for the last step and the export, which nothing can interrupt.
        seconds = self._window_s - _FLAT_S / 2
        return {"number": self._number, "steps": _STEPS, "seconds": seconds, "out": str(self._out)}

    def is_done(self, records: Sequence[ProcessRecord]) -> bool:
        """Return whether every rank that updates parameters has told the end of the window."""
        trainers = [record for record in records if record.told("optimizer")]
        ends = [_end(record, self._number) for record in trainers]
        if not ends or any(end is None for end in ends):
            return False
        self._again = any("file" not in (end or {}) for end in ends)
        return True


def _end(record: ProcessRecord, number: int) -> Mapping[str, Any] | None:
    """Return what a rank told at the end of the window with this number."""
    told = (event.data for event in record.told("deep"))
    return next((d for d in told if d.get("number") == number and d.get("state") == "end"), None)


DeviceOf = Callable[[Path], Mapping[str, Any] | None]


def digest(run: Path, keep_trace: bool, device_of: DeviceOf) -> tuple[Failure, ...]:
    """Read the exported traces into ``operators-PID.json`` beside them; return what could not be read.

    Where a GPU was at work, ``device_of(trace)`` goes into ``device-PID.json``. Traces are compressed; a large one is
    removed afterwards unless ``keep_trace``.
    """
    failures = []
    for path in sorted((run / FOLDER).glob("trace-*.json")):
        try:
            if path.stat().st_size > _MAX_TRACE:
                raise ValueError(f"larger than {_MAX_TRACE >> 20} MiB")
            target = path.with_name(path.name.replace("trace-", "operators-"))
            device = device_of(path) if _summarise(path, target) else None
            if device is not None:
                write_json(path.with_name(path.name.replace("trace-", "device-")), device)
            _compress(path, keep_trace)
        except Exception as error:
            failures.append(Failure(collector="deep", reason=f"{path.name}: {type(error).__name__}: {error}"))
    return tuple(failures)


def _summarise(path: Path, target: Path) -> bool:
    """Write the operators of a trace to ``target``; return whether a GPU was at work in it."""
    trace = read_json_trace(path)
    write_json(target, summary(trace))
    return has_device_work(trace)


def read_json_trace(path: Path) -> Any:
    """Return a trace as plain data."""
    import msgspec

    return msgspec.json.decode(path.read_bytes())


def _compress(path: Path, keep: bool) -> None:
    """Put ``path`` into a gzip file of the same name, or remove it where that would be large."""
    packed = path.with_name(path.name + ".gz")
    with path.open("rb") as source, gzip.open(packed, "wb", compresslevel=3) as target:
        shutil.copyfileobj(source, target)
    path.unlink()
    if not keep and packed.stat().st_size > _KEPT:
        packed.unlink()


def complete(
    run: Path,
    python: Path | None,
    device_of: DeviceOf,
    keep_trace: bool = False,
    aside: Aside | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> None:
    """Read the traces of a run that has ended and probe this machine; nothing where there was no window.

    ``device_of`` tells from a trace what a GPU did. With ``aside`` the dearest operators are then called once more, as
    advice would have them. All of it runs only now, never beside the training. Ctrl-C ends it; what there is until
    then counts.
    """
    if not any((run / FOLDER).glob("deep-*.json")):
        return
    with contextlib.suppress(KeyboardInterrupt):
        failures = list(digest(run, keep_trace, device_of))
        found = probes.roofline(python, _threads(run))
        if "reason" in found:
            failures.append(Failure(collector="roofline", reason=str(found["reason"])))
        with contextlib.suppress(OSError):
            write_json(run / ROOFLINE, found)
        if aside is not None:
            say(f"timing the dearest operators again, as advice would have them (up to {SECONDS:g} s)")
            failures += replay(run, aside)
        _add(run, failures)


def _add(run: Path, failures: Sequence[Failure]) -> None:
    """Add failures to the run file."""
    if not failures:
        return
    with contextlib.suppress(Exception):
        facts = read_json(run / RUN_FILE)
        facts["failures"] += [{"collector": one.collector, "reason": one.reason} for one in failures]
        write_json(run / RUN_FILE, facts)


def _threads(run: Path) -> int | None:
    """Return how many threads an operator had in the window, None where that was not counted."""
    for path in sorted((run / FOLDER).glob("deep-*.json")):
        with contextlib.suppress(Exception):
            found = read_json(path)["counted"]["threads"]
            if isinstance(found, int) and 0 < found < _MOST_THREADS:
                return found
    return None
