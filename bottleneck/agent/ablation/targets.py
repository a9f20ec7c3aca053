"""Which files are checkpoints: remembered from what savers were given, as their names do not tell."""

from __future__ import annotations

import os
from typing import Any

SAVED: set[str] = set()
_MOST = 4096


def note(target: Any) -> str:
    """Remember what a saver was given; return its absolute path, "" where it is no file."""
    path = path_of(target)
    if path and len(SAVED) < _MOST:
        SAVED.add(path)
    return path


def path_of(target: Any) -> str:
    """Return the absolute path behind a path, a descriptor or an open file; "" for all else."""
    try:
        if isinstance(target, (str, bytes, os.PathLike)):
            return os.path.abspath(os.fsdecode(os.fspath(target)))
        number = target if isinstance(target, int) else target.fileno()
        return os.readlink(f"/proc/self/fd/{number}")
    except (OSError, AttributeError, ValueError):
        return ""
