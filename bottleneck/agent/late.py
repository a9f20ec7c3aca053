"""Exceptions that a signal handler of the script raised while our code ran, kept until they can be raised.

Python runs signal handlers between any two lines, ours too. Inside a garbage collection's callback it drops what
they raise, and in a hook it would look like a failure of ours: both are given back to the script at the next
moment when no hook is under way.
"""

from __future__ import annotations

import signal
import sys
from types import CodeType, TracebackType
from typing import Any

from .hooks import Hooks


class Late:
    """The exception that waits, None nearly always."""

    error: BaseException | None = None


LATE = Late()


def keep(error: BaseException) -> bool:
    """Keep ``error`` if the script has to get it; return False where it is a failure of our own."""
    if isinstance(error, Exception) and not _from_handler(error.__traceback__):
        return False
    if LATE.error is None:
        LATE.error = error
    return True


def give_back() -> None:
    """Raise what waits; callers ask ``LATE.error is not None`` first, as that costs nothing."""
    error, LATE.error = LATE.error, None
    if error is not None:
        raise error


def _from_handler(trace: TracebackType | None) -> bool:
    """Return whether a Python signal handler is among the frames of ``trace``."""
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    while trace is not None:
        if trace.tb_frame.f_code in handlers:
            return True
        trace = trace.tb_next
    return False


def _code_of(handler: Any) -> CodeType | None:
    """Return the code that runs when ``handler`` is called, None where it is none of Python's."""
    handler = getattr(handler, "func", handler)  # functools.partial
    function = getattr(handler, "__func__", handler)
    code = getattr(function, "__code__", None)
    if code is None:  # an object that can be called
        code = getattr(vars(type(handler)).get("__call__"), "__code__", None)
    return code if isinstance(code, CodeType) else None


def rescue(hooks: Hooks, callback: Any) -> None:
    """Keep what is raised before the first line of ``callback``, which the interpreter would only print."""
    original = sys.unraisablehook

    def unraisablehook(unraisable: Any) -> Any:
        if unraisable.object is callback and unraisable.exc_value is not None and keep(unraisable.exc_value):
            return None
        return original(unraisable)

    hooks.patch(sys, "unraisablehook", unraisablehook)
