"""Turns files that the script has open for writing already to copies in the scratch folder."""

from __future__ import annotations

import fcntl
import gc
import io
import os
import stat
from typing import Any

from .arm import Refused
from .overlay import Overlay

_open = os.open
_FIRST = 3  # the standard streams stay: their output is not a file of the script's


class Descriptors:
    """The descriptors that were turned, and how to turn them back."""

    def __init__(self, layer: Overlay) -> None:
        """Turn nothing yet."""
        self.layer = layer
        self.kept: list[tuple[int, int]] = []

    def check(self) -> None:
        """Raise ``Refused`` where the script writes to a file through memory, which can't be turned."""
        try:
            with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
                lines = file.readlines()
        except OSError:
            raise Refused("open files can't be found on this system") from None
        for line in lines:
            parts = line.rstrip("\n").split(maxsplit=5)
            if len(parts) == 6 and parts[1][1] == "w" and parts[1][3] == "s" and self._is_output(parts[5]):
                raise Refused(f"the script writes to {os.path.basename(parts[5])} through a memory map")

    def _is_output(self, path: str) -> bool:
        """Return whether a file, named as the kernel does, is one the script may keep."""
        if not path.startswith("/") or path.endswith(" (deleted)") or path.startswith(("/memfd:", "/SYSV")):
            return False
        return bool(self.layer.key(path))

    def turn(self) -> None:
        """Turn every descriptor of a regular file that is open for writing, its position kept."""
        _flush_all()
        streams = {_identity(fd) for fd in range(_FIRST)}
        for name in os.listdir("/proc/self/fd"):
            fd = int(name)
            try:
                path = os.readlink(f"/proc/self/fd/{fd}")
                state = os.fstat(fd)
                flags = fcntl.fcntl(fd, fcntl.F_GETFL)
            except OSError:
                continue  # the listing's own
            writes = flags & os.O_ACCMODE in (os.O_WRONLY, os.O_RDWR)
            is_file = stat.S_ISREG(state.st_mode) and state.st_nlink > 0
            known = (state.st_dev, state.st_ino) in streams
            if fd >= _FIRST and writes and is_file and not known and self._is_output(path):
                self._turn(fd, path, flags)

    def _turn(self, fd: int, path: str, flags: int) -> None:
        """Let ``fd`` mean a copy of ``path``."""
        key = self.layer.key(path)
        above = self.layer.lift(key, flags & os.O_ACCMODE == os.O_RDWR)
        copy = _open(above, flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC) | os.O_CLOEXEC, 0o600)
        os.lseek(copy, os.lseek(fd, 0, os.SEEK_CUR), os.SEEK_SET)
        self.kept.append((fd, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64)))
        os.dup2(copy, fd, inheritable=os.get_inheritable(fd))
        os.close(copy)

    def undo(self) -> None:
        """Turn all back that are still open."""
        _flush_all()
        while self.kept:
            fd, original = self.kept.pop()
            path = _path_of(fd)
            if path.startswith(self.layer.root):
                os.dup2(original, fd, inheritable=os.get_inheritable(fd))
            os.close(original)


def _path_of(fd: int) -> str:
    """Return what an open descriptor means, "" for a closed one."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def _identity(fd: int) -> tuple[int, int]:
    """Return what tells an open file from another one."""
    try:
        state = os.fstat(fd)
    except OSError:
        return -1, -1
    return state.st_dev, state.st_ino


def _flush_all() -> None:
    """Write out what Python still holds of every open file: it belongs to the real ones."""
    for one in gc.get_objects():
        if issubclass(type(one), (io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper)):
            _flush(one)


def _flush(file: Any) -> None:
    """Flush one file, if it can be."""
    try:
        if not file.closed:
            file.flush()
    except (OSError, ValueError):
        return
