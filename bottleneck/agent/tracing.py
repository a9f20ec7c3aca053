"""A few steps under torch.profiler, never beside a profiler of the script: two sessions end the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

MARK = "bottleneck#step"  # stands in the trace at each edge of a step (read by ``collect/deep.py``)
_ENTRIES = ("__enter__", "_prepare_trace")  # every profiler of torch begins with one of these


class Tracing:
    """One session of the profiler."""

    def __init__(self, torch: Any, path: str) -> None:
        """Export to ``path``."""
        self.torch = torch
        self.path = path
        self._session: Any = None
        self._undo: list[Callable[[], None]] = []

    def start(self, on_rival: Callable[[str], None]) -> None:
        """Begin; ``on_rival(reason)`` is called when the script is about to start a profiler itself."""
        profiler = self.torch.profiler
        activities = [profiler.ProfilerActivity.CPU]
        if self.torch.cuda.is_available() and self.torch.cuda.is_initialized():
            activities.append(profiler.ProfilerActivity.CUDA)
        session = profiler.profile(activities=activities, record_shapes=True)
        with _quiet():
            session.start()
        self._session = session
        self._watch_for(on_rival)

    def _watch_for(self, on_rival: Callable[[str], None]) -> None:
        """Be told before any other profiler starts."""
        owner = self.torch.autograd.profiler.profile
        for name in _ENTRIES:
            original = vars(owner).get(name)
            if original is not None:
                setattr(owner, name, _announced(original, on_rival))
                self._undo.append(partial(setattr, owner, name, original))

    def mark(self) -> None:
        """Put the edge of a step into the trace."""
        with self.torch.autograd.profiler.record_function(MARK):
            pass

    def stop(self) -> bool:
        """End the session and export it; return whether there is a trace."""
        session = self._close()
        if session is None:
            return False
        session.export_chrome_trace(self.path)
        return True

    def drop(self) -> None:
        """End the session without a trace."""
        self._close()

    def _close(self) -> Any:
        """Return the session once it has ended, None where there was none."""
        session, self._session = self._session, None
        while self._undo:
            self._undo.pop()()
        if session is not None:
            with _quiet():
                session.stop()
        return session


def _announced(original: Callable[..., Any], on_rival: Callable[[str], None]) -> Callable[..., Any]:
    """Return ``original``, called after ``on_rival``."""

    def begin(self: Any, *args: Any, **kwargs: Any) -> Any:
        on_rival("the script began to profile itself")
        return original(self, *args, **kwargs)

    return begin


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the lines away that Kineto itself prints to the standard error; whatever else comes goes there.

    It writes to the descriptor, and its variable (KINETO_LOG_LEVEL) is read before this package could set it.
    """
    import tempfile

    try:
        sys.stderr.flush()
        saved = os.dup(2)
    except (OSError, ValueError, AttributeError):
        yield
        return
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            caught.seek(0)
            rest = [line for line in caught.read(1 << 20).splitlines(True) if not line.startswith(b"USDT:")]
            if rest:
                os.write(2, b"".join(rest))
