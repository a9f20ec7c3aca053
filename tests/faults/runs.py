"""Runs a script under plain Python and under the command, and compares what can be seen of both from outside."""

from __future__ import annotations

import difflib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "trainbottleneck")
OURS = "bottleneck: "
TIMEOUT_S = 200  # nothing here takes a tenth of it: it ends a test that hangs, on the slowest machine


@dataclass(frozen=True)
class Ran:
    """What a finished command left: exit code (negative: signal), output, and our run folder if any."""

    code: int
    out: bytes
    err: str
    run: Path | None = None

    @property
    def their_err(self) -> str:
        """Return stderr without our own lines."""
        return "".join(line for line in self.err.splitlines(keepends=True) if not line.startswith(OURS))

    @property
    def report(self) -> dict[str, Any]:
        """Return report.json."""
        assert self.run is not None
        return dict(json.loads((self.run / "report.json").read_text(encoding="utf-8")))


def environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return the environment of a child: ours, one thread, with ``extra`` set or (None) removed."""
    found = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    for name, value in (extra or {}).items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = value
    return found


def execute(
    argv: Sequence[str | bytes], cwd: Path, env: Mapping[str, str | None] | None = None, **options: Any
) -> Ran:
    """Run ``argv`` to its end in a session of its own."""
    done = subprocess.run(
        list(argv),
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        start_new_session=True,
        **options,
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode("utf-8", "surrogateescape"))


def plain(
    argv: Sequence[str | bytes], cwd: Path, env: Mapping[str, str | None] | None = None, **options: Any
) -> Ran:
    """Run ``python ARGV``."""
    return execute([sys.executable, *argv], cwd, env, **options)


def diagnose(
    argv: Sequence[str | bytes],
    cwd: Path,
    env: Mapping[str, str | None] | None = None,
    flags: Sequence[str] = ("--full", "--quiet", "--no-stacks"),
    run: Path | None = None,
    command: Sequence[str] = COMMAND,
    **options: Any,
) -> Ran:
    """Run ``bottleneck diagnose FLAGS ARGV``, its run folder outside of ``cwd``."""
    out = run if run is not None else fresh(cwd.parent)
    ran = execute([*command, "diagnose", *flags, "-o", str(out), *argv], cwd, env, **options)
    return Ran(ran.code, ran.out, ran.err, out)


def _difference(expected: bytes, found: bytes) -> str:
    """Return the lines that differ: this module's assertions are not explained by pytest."""
    texts = (one.decode("utf-8", "backslashreplace").splitlines() for one in (expected, found))
    return "\n".join(difflib.unified_diff(*texts, "without us", "with us", lineterm="", n=1))


def fresh(folder: Path) -> Path:
    """Return the path of a run folder that does not exist yet."""
    return folder / f"run-{sum(1 for _ in folder.glob('run-*'))}"


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write scripts into the new folder ``folder/work`` and return it."""
    work = folder / "work"
    for name, text in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    return work


def _snapshot(folder: Path) -> dict[str, bytes]:
    """Return every file below ``folder`` with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def alike(
    folder: Path,
    files: Mapping[str, str],
    argv: Sequence[str],
    env: Mapping[str, str | None] | None = None,
    clean: Callable[[str], str] = str,
    command: Sequence[str] = COMMAND,
) -> Ran:
    """Assert that a script does the same under us as under plain Python; return the measured run.

    Compared are exit code, stdout byte for byte, stderr (through ``clean``, for process ids) and the files it
    writes. With --quiet there is no line of ours on stderr either.
    """
    work = write(folder, files)
    before = _snapshot(work)
    expected = plain(argv, work, env)
    written = _snapshot(work)
    for name in written.keys() - before.keys():
        (work / name).unlink()
    found = diagnose(argv, work, env, command=command)
    assert found.code == expected.code, found.err
    assert found.out == expected.out, _difference(expected.out, found.out)
    assert clean(found.err) == clean(expected.err)
    assert _snapshot(work) == written
    return found


def report_again(run: Path, *flags: str) -> Ran:
    """Run ``bottleneck report`` on a run folder."""
    return execute([*COMMAND, "report", *flags, str(run)], run.parent)


def start(argv: Sequence[str], cwd: Path, **options: Any) -> subprocess.Popen[bytes]:
    """Start a command in a session and process group of its own; the caller ends it."""
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=environment(options.pop("env", None)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **options,
    )


def wait_for(condition: Callable[[], Any], what: str, timeout: float = TIMEOUT_S / 2) -> Any:
    """Return the first true value of ``condition()``; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def finish(process: subprocess.Popen[bytes], run: Path | None = None) -> Ran:
    """Wait for ``process`` to end and return what it left; end its whole group where it hangs."""
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return Ran(process.returncode, out, err.decode("utf-8", "surrogateescape"), run)


def is_alive(pid: int) -> bool:
    """Return whether a process runs: one that ended and waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"
