"""The functions of ``os`` that look at files or change folders, as they work on the layer above the real files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any

from .overlay import Overlay, _exists, _lstat

_listdir_real = os.listdir
Make = Callable[[Overlay, Any], Any]


def _looks(layer: Overlay, original: Any, follow: bool = True) -> Any:
    """Return a function that reads what ``path`` leads to in the layer."""

    def look(path: Any, *args: Any, **kwargs: Any) -> Any:
        found = layer.find(path, kwargs.get("dir_fd"), follow and kwargs.get("follow_symlinks", True))
        if found is None:
            return original(path, *args, **kwargs)
        kwargs.pop("dir_fd", None)
        with Named(path):
            return original(found, *args, **kwargs)

    return look


def _looks_at_links(layer: Overlay, original: Any) -> Any:
    """Return a function that reads a symbolic link itself."""
    return _looks(layer, original, follow=False)


class Named:
    """Gives errors the name the script used, as it may print or compare it."""

    def __init__(self, path: Any) -> None:
        """Remember the name."""
        self.path = path

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Rename the error."""
        if isinstance(error, OSError) and error.filename is not None:
            error.filename = self.path


def _listdir(layer: Overlay, original: Any) -> Any:
    """Return ``os.listdir`` on the layer."""

    def listdir(path: Any = ".") -> Any:
        names = _names(layer, "." if path is None else path)
        if names is None:
            return _looks(layer, original)(path)
        return [os.fsencode(name) for name in names] if isinstance(path, bytes) else names

    return listdir


def _names(layer: Overlay, path: Any) -> list[str] | None:
    """Return the names in the folder ``path``; None where the layer has no part in it."""
    key = layer.key(path, follow=True) if layer.is_used else ""
    return layer.names(key) if key else None


class Entry:
    """One entry of a folder, as ``os.scandir`` gives it."""

    def __init__(self, layer: Overlay, folder: Any, name: str, key: str) -> None:
        """Describe ``name`` in ``folder``; ``key`` is what it is called in ``layer``."""
        as_bytes = isinstance(folder, bytes)
        self.name: Any = os.fsencode(name) if as_bytes else name
        self.path: Any = os.path.join(os.fspath(folder), self.name)
        self._layer, self._key = layer, key

    def __fspath__(self) -> Any:
        """Return the path the script knows."""
        return self.path

    def __repr__(self) -> str:
        """Return what ``os.DirEntry`` would."""
        return f"<DirEntry {self.name!r}>"

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return its state."""
        key = self._layer.key(self._key, follow=True) if follow_symlinks else self._key
        return _lstat(self._layer.where(key or self._key))

    def inode(self) -> int:
        """Return its inode number."""
        return _lstat(self._layer.where(self._key)).st_ino

    def is_symlink(self) -> bool:
        """Return whether it is a symbolic link."""
        return stat.S_ISLNK(_lstat(self._layer.where(self._key)).st_mode)

    def is_junction(self) -> bool:
        """Return False: there are none here."""
        return False

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a folder."""
        return self._is(stat.S_ISDIR, follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Return whether it is a regular file."""
        return self._is(stat.S_ISREG, follow_symlinks)

    def _is(self, test: Callable[[int], bool], follow_symlinks: bool) -> bool:
        """Return whether its mode passes ``test``."""
        try:
            return test(self.stat(follow_symlinks=follow_symlinks).st_mode)
        except OSError:
            return False


class _Entries:
    """What ``os.scandir`` returns."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        """Give ``entries``."""
        self._entries = entries

    def __iter__(self) -> Iterator[Entry]:
        """Return itself."""
        return self

    def __next__(self) -> Entry:
        """Return the next entry."""
        return next(self._entries)

    def __enter__(self) -> _Entries:
        """Return itself."""
        return self

    def __exit__(self, *ignored: Any) -> None:
        """End."""
        self.close()

    def close(self) -> None:
        """End."""
        self._entries = iter(())


def _scandir(layer: Overlay, original: Any) -> Any:
    """Return ``os.scandir`` on the layer."""

    def scandir(path: Any = ".") -> Any:
        path = "." if path is None else path
        names = _names(layer, path)
        if names is None and layer.find(path) is None:
            return original(path)
        key = layer.key(path, follow=True)
        if names is None:  # a real folder, reached through a link in the layer
            with Named(path):
                names = _listdir_real(layer.where(key))
        return _Entries(Entry(layer, path, name, os.path.join(key, name)) for name in names)

    return scandir


def _mkdir(layer: Overlay, original: Any) -> Any:
    """Return ``os.mkdir`` on the layer."""

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: Any = None) -> None:
        key = layer.key(path, dir_fd)
        if not key:
            return original(path, mode, dir_fd=dir_fd)  # type: ignore[no-any-return]
        _must_be_new(layer, key, path)
        with Named(path):
            return original(layer.prepare(key), mode)  # type: ignore[no-any-return]

    return mkdir


def _must_be_new(layer: Overlay, key: str, path: Any) -> None:
    """Raise where there is something already."""
    if _exists(layer.where(key)):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def _rmdir(layer: Overlay, original: Any) -> Any:
    """Return ``os.rmdir`` on the layer."""

    def rmdir(path: Any, *, dir_fd: Any = None) -> None:
        key = layer.key(path, dir_fd)
        if not key:
            return original(path, dir_fd=dir_fd)  # type: ignore[no-any-return]
        with Named(path):
            _must_be_empty(layer, key, path)
            if _exists(layer.above(key)):
                original(layer.above(key))
            layer.hide(key)
        return None

    return rmdir


def _must_be_empty(layer: Overlay, key: str, path: Any) -> None:
    """Raise where ``key`` is no folder or has something in it."""
    if not stat.S_ISDIR(layer.state(key).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    names = layer.names(key)
    if _listdir_real(key) if names is None else names:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)


def _unlink(layer: Overlay, original: Any) -> Any:
    """Return ``os.unlink`` on the layer."""

    def unlink(path: Any, *, dir_fd: Any = None) -> None:
        key = layer.key(path, dir_fd)
        if not key:
            return original(path, dir_fd=dir_fd)  # type: ignore[no-any-return]
        with Named(path):
            if stat.S_ISDIR(layer.state(key).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if _exists(layer.above(key)):
                original(layer.above(key))
            layer.hide(key)
        return None

    return unlink


def _rename(layer: Overlay, original: Any) -> Any:
    """Return ``os.rename`` or ``os.replace`` on the layer."""

    def rename(src: Any, dst: Any, *, src_dir_fd: Any = None, dst_dir_fd: Any = None) -> None:
        here, there = layer.key(src, src_dir_fd), layer.key(dst, dst_dir_fd)
        if not here and not there:
            return original(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)  # type: ignore[no-any-return]
        with Named(src):
            state = layer.state(here) if here else _lstat(src)
        with Named(dst):
            if there and _exists(layer.where(there)):
                if there == here:
                    return None
                _must_fit(layer, stat.S_ISDIR(state.st_mode), there, dst)
            if stat.S_ISDIR(state.st_mode) and there.startswith(here + "/"):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), src)
            target = layer.prepare(there) if there else dst
            _move(original, _lifted(layer, here) if here else src, target)
        if there:
            layer.hide(there)
        if here:
            layer.hide(here)
        return None

    return rename


def _must_fit(layer: Overlay, is_folder: bool, key: str, path: Any) -> None:
    """Raise where what is renamed can't take the place of what is there."""
    if is_folder:
        return _must_be_empty(layer, key, path)
    if stat.S_ISDIR(layer.state(key).st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    return None


def _lifted(layer: Overlay, key: str) -> str:
    """Return a copy of a file, a link or a folder in the layer; FileNotFoundError where there is none."""
    place = layer.where(key)
    mode = _lstat(place).st_mode
    if stat.S_ISDIR(mode):
        return layer.lift_folder(key)
    if stat.S_ISLNK(mode) and place == key:
        above = layer.prepare(key)
        os.symlink(os.readlink(key), above)
        return above
    return layer.lift(key)


def _move(original: Any, origin: str, target: str) -> None:
    """Rename a file; across file systems, copy it (the scratch folder may lie on another one)."""
    try:
        original(origin, target)
        if _exists(origin):  # two names of one file: renaming one to the other does nothing
            os.unlink(origin)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        import shutil

        shutil.copy2(origin, target)
        os.unlink(origin)


def _link(layer: Overlay, original: Any) -> Any:
    """Return ``os.link`` on the layer: a second name of a real file would let the script change that."""

    def link(src: Any, dst: Any, *, src_dir_fd: Any = None, dst_dir_fd: Any = None, **kwargs: Any) -> None:
        here, there = layer.key(src, src_dir_fd), layer.key(dst, dst_dir_fd)
        if not here and not there:
            return original(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, **kwargs)  # type: ignore[no-any-return]
        with Named(src):
            state = layer.state(here) if here else _lstat(src)
        with Named(dst):
            if there:
                _must_be_new(layer, there, dst)
            if stat.S_ISDIR(state.st_mode):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), src)
            return original(_lifted(layer, here) if here else src, layer.prepare(there) if there else dst)  # type: ignore[no-any-return]

    return link


def _symlink(layer: Overlay, original: Any) -> Any:
    """Return ``os.symlink`` on the layer; where a link leads is decided when it is followed."""

    def symlink(src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: Any = None) -> None:
        key = layer.key(dst, dir_fd)
        if not key:
            return original(src, dst, target_is_directory, dir_fd=dir_fd)  # type: ignore[no-any-return]
        _must_be_new(layer, key, dst)
        layer.folders.clear()
        layer.has_links = True
        with Named(dst):
            return original(src, layer.prepare(key))  # type: ignore[no-any-return]

    return symlink


def _marks(layer: Overlay, original: Any) -> Any:
    """Return a function that changes rights or times: of files in the layer, real ones stay as they are."""

    def mark(path: Any, *args: Any, **kwargs: Any) -> Any:
        key = layer.key(path, kwargs.get("dir_fd"), kwargs.get("follow_symlinks", True))
        if not key:
            return original(path, *args, **kwargs)
        kwargs.pop("dir_fd", None)
        place = layer.where(key)
        with Named(path):
            _lstat(place)
            return original(place, *args, **kwargs) if place != key else None

    return mark


def _truncate(layer: Overlay, original: Any) -> Any:
    """Return ``os.truncate`` on the layer."""

    def truncate(path: Any, length: int) -> None:
        key = layer.key(path, follow=True)
        if not key:
            return original(path, length)  # type: ignore[no-any-return]
        with Named(path):
            mode = layer.state(key).st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            return original(layer.lift(key), length)  # type: ignore[no-any-return]

    return truncate


def _makes(layer: Overlay, original: Any) -> Any:
    """Return ``os.mkfifo`` or ``os.mknod`` on the layer."""

    def make(path: Any, *args: Any, **kwargs: Any) -> Any:
        key = layer.key(path, kwargs.pop("dir_fd", None))
        with Named(path):
            return original(layer.prepare(key) if key else path, *args, **kwargs)

    return make


_MARKS = ("chmod", "lchmod", "chown", "lchown", "utime", "setxattr", "removexattr", "chflags", "lchflags")
READING: tuple[tuple[Any, str, Make], ...] = (
    *((os, name, _looks) for name in ("stat", "access", "chdir", "statvfs", "getxattr")),
    (os, "lstat", _looks_at_links),
    (os, "readlink", _looks_at_links),
    (os, "listxattr", _looks),
    (os, "listdir", _listdir),
    (os, "scandir", _scandir),
)
CHANGING: tuple[tuple[Any, str, Make], ...] = (
    (os, "mkdir", _mkdir),
    (os, "rmdir", _rmdir),
    (os, "unlink", _unlink),
    (os, "remove", _unlink),
    (os, "rename", _rename),
    (os, "replace", _rename),
    (os, "link", _link),
    (os, "symlink", _symlink),
    (os, "truncate", _truncate),
    (os, "mkfifo", _makes),
    (os, "mknod", _makes),
    *((os, name, _marks) for name in _MARKS),
)
