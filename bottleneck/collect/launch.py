"""Runs the target as a child and passes on signals and exit code exactly: the command never stands in its way."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_FORWARDED = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGCONT", "SIGXCPU")


class Child:
    """The target as a process.

    Attributes:
        pid: Its process id.
        start_ns: When it was started, monotonic.
        interrupts: How often Ctrl-C was pressed while it ran.
    """

    def __init__(
        self,
        argv: Sequence[str],
        boot: Path | None,
        variables: Mapping[str, str] | None = None,
        output: IO[bytes] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Start ``argv`` in our process group.

        Args:
            argv: What to execute.
            boot: The boot folder, first on its PYTHONPATH; None for no agent.
            variables: Added to its environment.
            output: Where both its streams go, and nothing comes in; None to share ours.
            folder: Where to start it; None for where we are.
        """
        self.interrupts = 0
        self.start_ns = time.perf_counter_ns()
        self._previous: dict[signal.Signals, Any] = {}
        self._take_signals()
        try:
            self._process = subprocess.Popen(
                list(argv),
                env={**_environment(boot), **(variables or {})},
                cwd=folder,
                **_streams(output),
                preexec_fn=_die_with_parent if _LIBC else None,
                close_fds=False,  # what a shell hands on, as in `train.py --config <(...)`; ours close on exec
            )
        except BaseException:
            self.release_signals()
            raise
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code (negative: a signal) once the target has ended, else None."""
        return self._process.poll()

    def wait(self, timeout: float) -> int | None:
        """Return the exit code, or None after ``timeout`` seconds."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def send(self, number: signal.Signals) -> None:
        """Send the target a signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def _take_signals(self) -> None:
        """Forward what is sent to us alone; Ctrl-C reaches the child through the terminal by itself."""

        def count(number: int, frame: FrameType | None) -> None:
            self.interrupts += 1

        def forward(number: int, frame: FrameType | None) -> None:
            self.send(signal.Signals(number))

        handlers: list[tuple[str, Callable[[int, FrameType | None], None]]] = [("SIGINT", count)]
        handlers += [(name, forward) for name in _FORWARDED]
        for name, handler in handlers:
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) == signal.SIG_IGN:  # nohup stays nohup
                continue
            with contextlib.suppress(ValueError):  # not in the main thread: the caller's own business
                self._previous[number] = signal.signal(number, handler)

    def release_signals(self) -> None:
        """Restore the handlers that were there before."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()


def _streams(output: IO[bytes] | None) -> dict[str, Any]:
    """Return the streams of a child whose output goes to a file; nothing where it shares ours."""
    return {} if output is None else {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}


def _environment(boot: Path | None) -> Mapping[str, str]:
    """Return our environment with the boot folder, if any, first on PYTHONPATH."""
    environment = dict(os.environ)
    if boot is None:
        return environment
    before = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = str(boot) + (os.pathsep + before if before else "")
    return environment


def _load_libc() -> Any:
    """Return libc on Linux, where a child can ask to die with its parent; else None."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return ctypes.CDLL(None, use_errno=True)
    except OSError:
        return None


_LIBC = _load_libc()


def _die_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the command dies, so that ``kill -9`` on it leaves no orphan."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def end_like(code: int) -> None:
    """End this process as the target ended: with its exit code, or by its signal."""
    if code >= 0:
        sys.exit(code)
    import resource

    sys.stdout.flush()
    sys.stderr.flush()
    number = signal.Signals(-code)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the target's core is the one to look at, not ours
    with contextlib.suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    time.sleep(1)
    sys.exit(128 - code)
