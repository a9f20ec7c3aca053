"""Where a path leads once the script writes to scratch: a layer above the real files, which stay as they are.

What is written lies below ``<scratch>/files`` under its absolute path; what is removed is remembered. A path is
looked up there first. Caches of compilers, devices, sockets and shared memory are no output and stay real.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from typing import Any

_REAL = ("/dev/", "/proc/", "/sys/")
_COPIED = 64 << 20  # bytes of a file that is changed in part; of a larger one only the length is kept
_CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH")
_MOST_LINKS = 40  # in a row, as Linux allows
_MOST = 4096  # folders whose real name is remembered

# The real functions: those in ``os`` are replaced by ours.
_lstat, _stat, _readlink, _listdir = os.lstat, os.stat, os.readlink, os.listdir
_mkdir, _chmod, _access = os.mkdir, os.chmod, os.access
_open = open


class Overlay:
    """The layer of one process; all ranks and forked workers share its folder."""

    def __init__(self, run: str, scratch: str) -> None:
        """Write below ``scratch``; what lies in the folder ``run`` is ours and stays real."""
        self.run = os.path.realpath(run)
        self.scratch = os.path.realpath(scratch)
        self.root = self.scratch + "/files"
        self.gone: set[str] = set()
        self.is_used = False
        self.has_links = False
        temporary = tempfile.gettempdir()
        self._real = (
            *_REAL,
            self.run + "/",
            self.scratch + "/",
            temporary + "/pymp-",
            temporary + "/torch_",
            temporary + "/torchinductor_",
            os.path.expanduser("~/.triton/"),
            *(os.environ[name].rstrip("/") + "/" for name in _CACHES if os.environ.get(name)),
        )
        self._temporary = re.compile(re.escape(temporary) + "/tmp[a-z0-9_]{8}(/|$)")  # names of tempfile's
        self.folders: dict[str, str] = {}  # forgotten whenever something is renamed, linked or removed
        _make_folders(self.root)

    def key(self, path: Any, folder: Any = None, follow: bool = False) -> str:
        """Return the absolute path that ``path`` means, its folders without symbolic links; "" where it stays real.

        Args:
            path: A path, or a descriptor (stays real).
            folder: Descriptor of the folder it is relative to, or None.
            follow: If it is a symbolic link, return what that leads to.
        """
        if isinstance(path, int) or path is None:
            return ""
        text = os.fsdecode(os.fspath(path))
        if not text or "\0" in text:
            return ""
        if folder is not None and not os.path.isabs(text):
            text = os.path.join(_readlink(f"/proc/self/fd/{folder}"), text)
        if not os.path.isabs(text):
            text = os.path.join(os.getcwd(), text)
        text = os.path.normpath(text)
        if self._stays(text):
            return ""
        for _ in range(_MOST_LINKS):
            key = self._without_links(text)
            if self._stays(key):
                return ""
            place = self.where(key)
            if not follow or not _is_link(place):
                return key
            text = os.path.normpath(os.path.join(os.path.dirname(key), _readlink(place)))
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), text)

    def _without_links(self, path: str) -> str:
        """Return an absolute path with no link among its folders; ``os.path`` asks functions that know the layer."""
        head, tail = os.path.split(path)
        real = self.folders.get(head)
        if real is None:
            real = os.path.realpath(head)
            if len(self.folders) < _MOST:
                self.folders[head] = real
        return os.path.join(real, tail)

    def _stays(self, path: str) -> bool:
        """Return whether a path is no output of the script's."""
        return (path + "/").startswith(self._real) or self._temporary.match(path) is not None

    def above(self, key: str) -> str:
        """Return where ``key`` lies in the layer, whether or not it does."""
        return self.root + key

    def is_gone(self, key: str) -> bool:
        """Return whether the real file was removed, or a folder above it."""
        if not self.gone:
            return False
        while key != "/":
            if key in self.gone:
                return True
            key = os.path.dirname(key)
        return False

    def find(self, path: Any, folder: Any = None, follow: bool = True) -> str | None:
        """Return the path to read instead of ``path``, None where it is to be read itself."""
        if not self.is_used:
            return None
        key = self.key(path, folder, follow)
        if not key:
            return None
        above = self.above(key)
        if _exists(above) or self.is_gone(key):
            return above
        return key if self.has_links else None  # a link in the layer may be on the way

    def where(self, key: str) -> str:
        """Return the file that ``key`` means now, above or real."""
        above = self.above(key)
        return above if _exists(above) or self.is_gone(key) else key

    def state(self, key: str) -> os.stat_result:
        """Return the state of what ``key`` means now, links not followed; raise what the file system would."""
        try:
            return _lstat(self.where(key))
        except FileNotFoundError:
            parent = self.where(os.path.dirname(key))
            if _exists(parent) and not stat.S_ISDIR(_lstat(parent).st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), key) from None
            raise

    def prepare(self, key: str) -> str:
        """Return where to make ``key``; its folder is there.

        Raises:
            FileNotFoundError, NotADirectoryError: As the real one would: its folder does not exist.
        """
        parent = os.path.dirname(key)
        if not stat.S_ISDIR(_stat(self.where(parent)).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), key)
        if not _access(self.where(parent), os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), key)
        _make_folders(self.above(parent))
        self.is_used = True
        if self.has_links:
            self.folders.clear()
        return self.above(key)

    def lift(self, key: str, whole: bool = True) -> str:
        """Return a copy of ``key`` in the layer, made if it is not there yet; of links, what they point to.

        Args:
            key: A file, or nothing (then nothing is made).
            whole: Its content is needed; else a file as long will do.
        """
        above = self.prepare(key)
        if _exists(above) or self.is_gone(key):
            return above
        try:
            state = _stat(key)
        except FileNotFoundError:
            return above
        size = state.st_size
        with _open(above, "wb") as target:
            if whole or size <= _COPIED:
                with _open(key, "rb") as source:
                    shutil.copyfileobj(source, target, 1 << 20)
            else:
                target.truncate(size)
        _chmod(above, stat.S_IMODE(state.st_mode) | stat.S_IWUSR)
        return above

    def lift_folder(self, key: str) -> str:
        """Return a copy of the folder ``key`` in the layer, with all that is below it."""
        above = self.prepare(key)
        names = self.names(key)
        for name in _listdir(key) if names is None else names:
            inner = os.path.join(key, name)
            if stat.S_ISDIR(_lstat(self.where(inner)).st_mode):
                _make_folders(self.above(inner))
                self.lift_folder(inner)
            else:
                _make_folders(above)
                self.lift(inner)
        _make_folders(above)
        return above

    def names(self, key: str) -> list[str] | None:
        """Return the names in a folder that the layer has a part in; None where it has none."""
        above = self.above(key)
        if not os.path.isdir(above):
            return None
        found = set(_listdir(above))
        if not self.is_gone(key):
            try:
                found |= {name for name in _listdir(key) if os.path.join(key, name) not in self.gone}
            except OSError:
                return sorted(found)
        return sorted(found)

    def hide(self, key: str) -> None:
        """Remember that the real ``key`` is removed."""
        if _exists(key):
            self.gone.add(key)
        _make_folders(
            os.path.dirname(self.above(key))
        )  # a folder that lacks something has a part in the layer
        self.is_used = True


def _exists(path: str) -> bool:
    """Return whether there is something at ``path``, a broken link included."""
    try:
        _lstat(path)
    except OSError:
        return False
    return True


def _is_link(path: str) -> bool:
    """Return whether ``path`` is a symbolic link."""
    try:
        return stat.S_ISLNK(_lstat(path).st_mode)
    except OSError:
        return False


def _make_folders(path: str) -> None:
    """Make ``path`` and the folders above it."""
    if _exists(path):
        return
    _make_folders(os.path.dirname(path))
    try:
        _mkdir(path)
    except FileExistsError:
        return
