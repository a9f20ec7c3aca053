"""Runs code of ours in the interpreter that trains, when the training has ended or before it begins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# The code sets the number of threads itself; a variable would also bind what it compares with.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_END_S = 5.0  # for an interpreter that has nothing to do to end
# Imports what takes seconds, then runs the code that the first line brings; the rest of its input is the code's.
_WAIT = """
import contextlib, json, sys
with contextlib.suppress(Exception):
    import torch
line = sys.stdin.readline()
if line:
    task = json.loads(line)
    sys.argv[1:] = task["arguments"]
    exec(compile(task["code"], "<aside>", "exec"), {"__name__": "__main__"})
"""


class Aside:
    """An interpreter beside the training, which can be started before there is something to do for it.

    It imports torch when started, two seconds on a laptop: a training that is being stopped leaves the time for it.
    """

    def __init__(self, python: Path | None) -> None:
        """Use the interpreter ``python``, our own where it is None."""
        self._command = [str(python or sys.executable), "-c", _WAIT]
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Aside:
        """Return itself; nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the interpreter where it was not needed."""
        child, self._child = self._child, None
        if child is None:
            return
        try:
            child.communicate(timeout=_END_S)  # the end of its input is its end
        except subprocess.TimeoutExpired:
            _kill(child)

    def start(self) -> None:
        """Start the interpreter, where it is not running yet.

        Raises:
            OSError: It can't be started.
        """
        if self._child is not None:
            return
        environment = {name: value for name, value in os.environ.items() if name not in _THREADS}
        self._child = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd="/", env={**environment, "BOTTLENECK_DISABLE": "1"},
        )  # fmt: skip

    def printed(
        self, what: str, code: str, arguments: list[str], limit_s: float, given: str = ""
    ) -> dict[str, Any]:
        """Return the JSON object that ``code``, called ``what`` in errors, prints with ``given`` on its standard input.

        Raises:
            ValueError: It failed, or printed something else.
            OSError, subprocess.SubprocessError: It could not be started, or took longer than ``limit_s`` seconds.
        """
        self.start()
        child, self._child = self._child, None
        assert child is not None
        task = json.dumps({"code": code, "arguments": arguments})
        try:
            out, err = child.communicate(f"{task}\n{given}", timeout=limit_s)
        except BaseException:
            _kill(child)
            raise
        if child.returncode:
            raise ValueError(f"{what} failed: {(err.strip().splitlines() or ['no message'])[-1]}")
        found = json.loads(out)
        if not isinstance(found, dict):
            raise ValueError(f"{what} printed no object")
        return found


def _kill(child: subprocess.Popen[str]) -> None:
    """End a child at once."""
    child.kill()
    child.wait()
