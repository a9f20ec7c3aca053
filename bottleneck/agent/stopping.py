"""Ends the script at a step's boundary, as Ctrl-C would, once the command has measured enough (see ``orders``)."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from . import CONFIG, PACKAGE
from .hooks import Hooks
from .recorder import Recorder

_COME_S = 2.0  # ranks reach one step together; on a loaded machine one gets the processor a second later
_MOST_RANKS = 64  # beyond them, looking into a shared folder takes longer than it helps
Hook = Callable[[type[BaseException], BaseException, "TracebackType | None"], Any]


class Stopping:
    """Carries out the order to stop."""

    def __init__(self, recorder: Recorder) -> None:
        """Tell ``recorder`` when the script is interrupted."""
        self.recorder = recorder
        self.stopped = False

    def stop(self, order: dict[str, Any]) -> None:
        """Interrupt the script; called at the boundary of the step that the order names."""
        if self.stopped:
            return
        self.stopped = True
        self.recorder.event("stop", steps=order.get("at", 0))
        self.recorder.flush()
        _await_others(self.recorder.run)
        interrupt()


def _await_others(run: str) -> None:
    """Wait until all ranks are about to stop: the first to end may kill the others (Lightning does) on their way."""
    c10d: Any = sys.modules.get("torch.distributed.distributed_c10d")
    world = c10d.get_world_size() if c10d is not None and c10d.is_initialized() else 1
    if not 1 < world <= _MOST_RANKS:
        return
    latest, folder = time.monotonic() + _COME_S, run + "/stopping"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        os.close(os.open(f"{folder}/{c10d.get_rank()}", os.O_CREAT | os.O_WRONLY, 0o600))
        while len(os.listdir(folder)) < world and time.monotonic() < latest:
            time.sleep(0.01)
    except (
        OSError
    ):  # nobody can wait in a folder that can't be written: each stops by itself, as without waiting
        return


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
