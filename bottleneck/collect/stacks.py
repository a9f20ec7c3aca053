"""Python stacks of the training and its workers, by py-spy, which never runs code in them.

How py-spy is asked, tried with py-spy 0.4.3 on a loop with two loader workers (11 threads) and one
with none, on two shared cores:

``--idle``: without it a thread that waits is left out: a line that sleeps is hardly ever seen, and the
    main thread had 37 of 148 samples. Wall-clock stacks need it.
``--subprocesses --threads --full-filenames``: process ids, thread names and full paths in every record.
``--nonblocking``: by default every sample stops the whole process; that may end a system call of the
    training early, and with it change what it does. Without stopping, 0.3 to 1.2 % of the samples are
    lost and 0.5 to 0.9 % show a call that the blocking mode never saw (stacks torn while they were
    read): far below the sampling error of a share.
Rate: step time while sampled over step time just before, median of 8 pairs of 1.5 s (pairs scatter by
    +-15 %): 20 Hz 1.00 with two workers and 0.98 with none, 50 Hz 1.10 and 1.07. CPU time of py-spy: 20 Hz
    7 % and 3 % of a core, 50 Hz 14 % and 5 %, 100 Hz 27 % and 8 %. So 20 Hz: ten seconds give 200 samples
    of a thread, a share within 7 points.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psutil

from ..model.code import is_users
from ..model.record import Stacks
from ..store.stacks import load_stacks, save_stacks
from .raw_stacks import parse_raw, source_lines
from .redact import redact_text

__all__ = [
    "StackSampler",
    "find_pyspy",
    "is_users",
    "load_stacks",
    "parse_raw",
    "save_stacks",
    "source_lines",
]

RATE_HZ = 20.0
# py-spy writes its file within 0.1 s of being asked to stop; on a machine that is full, later.
_STOP_S = 5.0
# An orphan (the command was killed) ends by itself after this time.
_LONGEST_S = 600
_LARGEST_RAW = 64_000_000
_NO_PERMISSION = (
    "no permission to read the memory of another process: allow it with `sysctl kernel.yama.ptrace_scope=0`, "
    "in a container with the capability SYS_PTRACE (`docker run --cap-add SYS_PTRACE`)"
)
_UNSUPPORTED = "py-spy does not support this version of Python, or the process is no Python"
_REASONS = (
    (r"(?i)permission denied|operation not permitted|EPERM|EACCES|elevated", _NO_PERMISSION),
    (r"(?i)unsupported version|python version|failed to find .*python", _UNSUPPORTED),
    (r"(?i)no such process|process not found|ESRCH", "the process had ended"),
)


def find_pyspy() -> tuple[Path | None, str]:
    """Return py-spy's path and "", or None and why there is none.

    First beside this interpreter, then on PATH.
    """
    name = "py-spy.exe" if os.name == "nt" else "py-spy"
    for folder in (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent):
        if (folder / name).is_file() and os.access(folder / name, os.X_OK):
            return folder / name, ""
    found = shutil.which(name)
    if found:
        return Path(found), ""
    return None, "py-spy is not installed (pip install py-spy)"


def explain(stderr: str) -> str:
    """Return one clear sentence for what py-spy wrote when it failed."""
    for pattern, reason in _REASONS:
        if re.search(pattern, stderr):
            return reason
    lines = [line.strip() for line in stderr.splitlines() if line.strip().lower().startswith("error")]
    return redact_text(lines[0])[:200] if lines else "py-spy ended without a reason"


def _quiet() -> dict[str, str]:
    """Return our environment with py-spy's own backtraces off."""
    return {**os.environ, "RUST_BACKTRACE": "0", "RUST_LIB_BACKTRACE": "0"}


def try_pyspy(path: Path, pid: int) -> str:
    """Return "" where py-spy can read ``pid``, else the reason."""
    try:
        done = subprocess.run(
            [str(path), "dump", "--nonblocking", "--pid", str(pid)],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_STOP_S, env=_quiet(),
            start_new_session=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return f"py-spy can't be run: {type(error).__name__}"
    return "" if done.returncode == 0 else explain(done.stderr.decode("utf-8", "replace"))


class StackSampler:
    """One window of stack samples of a process and everything below it.

    Attributes:
        failure: One sentence on why there are no stacks, or None.
        errors_frac: Share of samples that py-spy could not read, or None while not known.
        cpu_s: CPU time that py-spy used, seconds, as far as known.
    """

    def __init__(
        self, pid: int, out: Path, rate_hz: float = RATE_HZ, library_paths: Sequence[str] = ()
    ) -> None:
        """Prepare to sample ``pid`` into ``out`` (a ``stacks-<n>.json``); paths: see ``source_lines``."""
        self._pid = pid
        self._out = out
        self._raw = out.with_suffix(".raw")
        self._rate = max(1, round(rate_hz))
        self._library_paths = tuple(library_paths)
        self._process: subprocess.Popen[bytes] | None = None
        self._told: IO[bytes] | None = None
        self._start_ns = 0
        self._pyspy: Path | None = None
        self.failure: str | None = None
        self.errors_frac: float | None = None
        self.cpu_s = 0.0

    @property
    def running(self) -> bool:
        """Whether py-spy is at work."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> bool:
        """Start py-spy and return whether it could be started; ``failure`` says why not."""
        self._pyspy, reason = find_pyspy()
        if self._pyspy is None:
            self.failure = reason
            return False
        try:
            self._launch(self._pyspy)
        except (OSError, subprocess.SubprocessError) as error:
            self.failure = f"py-spy can't be started: {getattr(error, 'strerror', None) or error}"
            self._clean()
            return False
        return True

    def _launch(self, pyspy: Path) -> None:
        # The text names every process by its command line, secrets and all: for our eyes only, and
        # removed once it is parsed.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        os.close(os.open(self._raw, flags, 0o600))
        self._told = tempfile.TemporaryFile()  # noqa: SIM115 - a pipe that nobody reads would fill up
        options = ["--subprocesses", "--threads", "--idle", "--full-filenames", "--nonblocking"]
        self._start_ns = time.perf_counter_ns()
        self._process = subprocess.Popen(
            [str(pyspy), "record", "--pid", str(self._pid), "--format", "raw", "--output", str(self._raw),
             "--rate", str(self._rate), "--duration", str(_LONGEST_S), *options],
            stdin=subprocess.DEVNULL, stdout=self._told, stderr=self._told, env=_quiet(),
            start_new_session=True,  # Ctrl-C at the terminal is the training's business
        )  # fmt: skip

    def stop(self) -> Stacks | None:
        """End the window, write ``out`` and return the stacks; None and ``failure`` where there are none."""
        if self._process is None:
            return None
        try:
            end_ns = time.perf_counter_ns()
            self._end()
            return self._collect(end_ns)
        except (OSError, ValueError, MemoryError) as error:
            self.failure = f"the stacks were lost: {getattr(error, 'strerror', None) or error}"
            return None
        finally:
            self._clean()

    def _end(self) -> None:
        """Ask py-spy to stop, and kill it where it does not."""
        process = self._process
        assert process is not None
        self.cpu_s = _cpu_time(process.pid)
        if process.poll() is None:
            process.send_signal(getattr(signal, "SIGINT", signal.SIGTERM))
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_S)

    def _collect(self, end_ns: int) -> Stacks | None:
        with self._raw.open("rb") as file:
            text = file.read(_LARGEST_RAW).decode("utf-8", "replace")
        counts = source_lines(parse_raw(text, self._pid), self._library_paths)
        self._note_errors()
        if not counts:
            self.failure = self._why()
            return None
        stacks = Stacks(start_ns=self._start_ns, end_ns=end_ns, rate_hz=float(self._rate), counts=counts)
        save_stacks(stacks, self._out)
        return stacks

    def _output(self) -> str:
        if self._told is None:
            return ""
        self._told.seek(0)
        return self._told.read(100_000).decode("utf-8", "replace")

    def _note_errors(self) -> None:
        found = re.search(r"Samples: (\d{1,12}) Errors: (\d{1,12})", self._output())
        if found and (total := int(found[1]) + int(found[2])) > 0:
            self.errors_frac = int(found[2]) / total

    def _why(self) -> str:
        """Return why nothing was sampled; dumping one process tells more than recording a tree."""
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return "the process had ended"
        except OSError:
            return _NO_PERMISSION
        process = self._process
        if process is not None and process.returncode == 0:
            return "the window was too short for a sample"
        assert self._pyspy is not None
        return try_pyspy(self._pyspy, self._pid) or explain(self._output())

    def _clean(self) -> None:
        if self._told is not None:
            self._told.close()
            self._told = None
        self._process = None
        with contextlib.suppress(OSError):
            self._raw.unlink(missing_ok=True)


def _cpu_time(pid: int) -> float:
    """Return the CPU time of a process so far in seconds, 0 where it can't be read."""
    try:
        times = psutil.Process(pid).cpu_times()
    except (psutil.Error, OSError):
        return 0.0
    return float(times.user + times.system)
