"""Where a run is written: made before the script starts, never over anything that is there."""

from __future__ import annotations

import errno
import os
import re
import time
from pathlib import Path

from ..errors import UsageError

DEFAULT = Path("bottleneck-runs")


class NoSpace(Exception):
    """The file system is full: the training can run, the measurement can't."""


def make(wanted: Path | None, script: str) -> Path:
    """Return a new run directory, absolute.

    Args:
        wanted: Value of ``-o``; None makes ``bottleneck-runs/<date>-<script>``.
        script: What is run, for the name.

    Raises:
        UsageError: It can't be made there, or something is there already.
        NoSpace: The file system is full.
    """
    path = Path(os.path.abspath(wanted if wanted is not None else _fresh(script)))  # noqa: PTH100 (without "..")
    if os.pathsep in str(path):
        raise UsageError(f"-o {path}: has a {os.pathsep!r} in it, which PYTHONPATH can't carry; name another")
    try:
        if path.exists():
            _check_empty(path)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = path / ".writable"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"no space left in {path}") from error
        raise UsageError(f"-o {path}: can't be written ({error.strerror}); choose another folder") from error
    return path


def _fresh(script: str) -> Path:
    """Return a name of its own for a run: date, time and the script's stem."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(script).stem)[:40].strip("-.") or "run"
    base = DEFAULT / f"{time.strftime('%Y%m%d-%H%M%S')}-{stem}"
    path, number = base, 2
    while path.exists():
        path, number = base.with_name(f"{base.name}-{number}"), number + 1
    return path


def _check_empty(path: Path) -> None:
    """Refuse what holds anything: a file, another run, the user's data."""
    if not path.is_dir():
        raise UsageError(f"-o {path}: is a file; name a folder that does not exist yet")
    if any(True for _ in os.scandir(path)):
        raise UsageError(f"-o {path}: is not empty; name a new folder, nothing is overwritten")
