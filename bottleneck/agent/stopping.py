"""Ends the script at a step's boundary, as Ctrl-C would, once the command has measured enough.

The command asks through a file in the run folder that names a number of optimizer steps; every rank compares
its own count, so all of them stop after the same step and no collective is left waiting.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from . import CONFIG, PACKAGE
from .hooks import Hooks
from .recorder import Recorder

Hook = Callable[[type[BaseException], BaseException, "TracebackType | None"], Any]


class Stopping:
    """Watches for the request and interrupts the script."""

    def __init__(self, recorder: Recorder, steps: Callable[[], int]) -> None:
        """Compare the request with ``steps()``, the optimizer steps of this process so far."""
        self.recorder = recorder
        self.steps = steps
        self.path = recorder.run + "/stop"
        self.at: int | None = None
        self.stopped = False

    def look(self) -> None:
        """Read the request if there is one; called with each flush, a few times a second."""
        if self.at is not None or self.stopped:
            return
        try:
            with open(self.path, encoding="ascii") as file:
                self.at = int(file.read() or 0)
        except (OSError, ValueError):
            return

    def boundary(self) -> None:
        """Interrupt the script if its count of steps has reached the request; called after each step."""
        if self.at is None or self.stopped or self.steps() < self.at:
            return
        self.stopped = True
        self.recorder.event("stop", steps=self.steps())
        self.recorder.flush()
        interrupt()


def interrupt() -> None:
    """Raise what Ctrl-C raises: the script's own handler runs where it has one."""
    handler = signal.getsignal(signal.SIGINT)
    if handler in (signal.SIG_IGN, signal.SIG_DFL, None):  # started in the background: nobody would hear it
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def tidy_exceptions(hooks: Hooks, stopping: Stopping) -> None:
    """Keep our frames out of the tracebacks the interpreter prints, and stay silent about our own stop.

    A script that installs its own ``sys.excepthook`` replaces this one and gets the exception as it is.
    """
    original: Hook = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
        if stopping.stopped and issubclass(kind, KeyboardInterrupt):
            if CONFIG.get("launcher"):
                _leave_quietly()
            return None
        _strip_chain(error, set())
        return original(kind, error, error.__traceback__)

    hooks.patch(sys, "excepthook", excepthook)
    original_in_thread = threading.excepthook

    def excepthook_in_thread(args: Any) -> Any:
        _strip_chain(args.exc_value, set())
        trace = args.exc_value.__traceback__ if args.exc_value is not None else args.exc_traceback
        return original_in_thread(
            threading.ExceptHookArgs((args.exc_type, args.exc_value, trace, args.thread))
        )

    hooks.patch(threading, "excepthook", excepthook_in_thread)


def _leave_quietly() -> None:
    """End this rank with code 0 after its exit handlers, so that its launcher reports no failure."""
    import atexit

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            continue
    os._exit(0)


def _strip_chain(error: BaseException | None, seen: set[int]) -> None:
    """Remove our frames from ``error`` and from the exceptions it came from."""
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = strip(error.__traceback__)
        _strip_chain(error.__context__, seen)
        error = error.__cause__


def strip(trace: TracebackType | None) -> TracebackType | None:
    """Return ``trace`` without the frames of this package."""
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    entry = trace
    while entry is not None:
        following = entry.tb_next
        while following is not None and _is_ours(following):
            following = following.tb_next
        entry.tb_next = following
        entry = following
    return trace


def _is_ours(entry: TracebackType) -> bool:
    """Return whether a traceback entry is code of this package."""
    return PACKAGE in entry.tb_frame.f_globals.get("__name__", "")


def tidy_worker_errors(torch: Any, hooks: Hooks) -> None:
    """Keep our frames out of the error text a loader worker sends to the training process."""
    wrapper = torch._utils.ExceptionWrapper
    original = wrapper.__init__

    def __init__(self: Any, exc_info: Any = None, where: str = "in background") -> None:
        kind, error, trace = exc_info if exc_info is not None else sys.exc_info()
        original(self, (kind, error, strip(trace)), where)

    hooks.patch(wrapper, "__init__", __init__)
