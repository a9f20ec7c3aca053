"""What opens files for writing: ``open``, ``os.open``, and the libraries that open a path in C."""

from __future__ import annotations

import builtins
import errno
import io
import os
import stat
from collections.abc import Callable
from typing import Any

from ..hooks import dress
from .folders import Make, Named
from .overlay import Overlay, _exists, _stat

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ANONYMOUS = getattr(os, "O_TMPFILE", 0)
_os_open = os.open


def _opens(layer: Overlay, original: Any) -> Any:
    """Return ``os.open`` on the layer."""

    def open_(path: Any, flags: int, mode: int = 0o777, *, dir_fd: Any = None) -> int:
        if not flags & _WRITES or (_ANONYMOUS and flags & _ANONYMOUS == _ANONYMOUS):
            found = layer.find(path, dir_fd)
            if found is None:
                return original(path, flags, mode, dir_fd=dir_fd)  # type: ignore[no-any-return]
            with Named(path):
                return original(found, flags, mode)  # type: ignore[no-any-return]
        key = layer.key(path, dir_fd, follow=not flags & os.O_EXCL)
        if not key:
            return original(path, flags, mode, dir_fd=dir_fd)  # type: ignore[no-any-return]
        with Named(path):
            if _is_special(layer.where(key)) and not flags & os.O_EXCL:
                return original(layer.where(key), flags, mode)  # type: ignore[no-any-return]
            return original(*_place(layer, key, flags), mode)  # type: ignore[no-any-return]

    return open_


def _is_special(place: str) -> bool:
    """Return whether there is something that is neither a file nor nothing: a pipe, a device, a folder."""
    try:
        return not stat.S_ISREG(_stat(place).st_mode)
    except OSError:
        return False


def _place(layer: Overlay, key: str, flags: int) -> tuple[str, int]:
    """Return the file of the layer to open for writing, and the flags to open it with."""
    exists = _exists(layer.where(key))
    if exists and flags & os.O_CREAT and flags & os.O_EXCL:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), key)
    if not exists and not flags & os.O_CREAT:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)
    if exists and not os.access(layer.where(key), os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), key)
    if flags & os.O_TRUNC:
        return layer.prepare(key), flags | os.O_CREAT
    return layer.lift(key, bool(flags & os.O_RDWR)), flags


def _opens_files(layer: Overlay, original: Any) -> Any:
    """Return ``open`` on the layer; the file keeps the name it was opened by."""

    def opener(path: Any, flags: int) -> int:
        return int(_opens(layer, _os_open)(path, flags, 0o666))

    def open_(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if isinstance(file, int) or len(args) > 5 or kwargs.get("opener") is not None:
            return original(file, mode, *args, **kwargs)
        if not set(mode) & set("wax+") and layer.find(file) is None:
            return original(file, mode, *args, **kwargs)
        return original(file, mode, *args, **{**kwargs, "opener": opener})

    return open_


def write_path(layer: Overlay, path: Any) -> Any:
    """Return where a library that truncates and writes ``path`` itself is to write."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return path
    key = layer.key(path, follow=True)
    if not key or _is_special(layer.where(key)):
        return path
    return layer.prepare(key)


def read_path(layer: Overlay, path: Any) -> Any:
    """Return where a library that reads ``path`` itself is to read."""
    found = layer.find(path) if isinstance(path, (str, bytes, os.PathLike)) else None
    return path if found is None else found


def change_path(layer: Overlay, path: Any) -> Any:
    """Return where a library that changes the file ``path`` is to work."""
    key = layer.key(path, follow=True) if isinstance(path, (str, bytes, os.PathLike)) else ""
    return layer.lift(key) if key else path


OPENING: tuple[tuple[Any, str, Make], ...] = (
    (os, "open", _opens),
    (builtins, "open", _opens_files),
    (io, "open", _opens_files),
)
# Functions that hand a path to C: (module, name, position and keyword of the path, what becomes of it).
_BY_PATH: tuple[tuple[str, str, int, str, Callable[[Overlay, Any], Any]], ...] = (
    ("safetensors.torch", "serialize_file", 1, "filename", write_path),
    ("safetensors.numpy", "serialize_file", 1, "filename", write_path),
    ("safetensors", "serialize_file", 1, "filename", write_path),
    ("safetensors", "safe_open", 0, "filename", read_path),
    ("torch.serialization", "load", 0, "f", read_path),
    ("torch.jit", "save", 1, "f", write_path),
    ("torch.jit", "load", 0, "f", read_path),
    ("sqlite3", "connect", 0, "database", change_path),
    ("h5py._hl.files", "make_fid", 0, "name", change_path),
)


def install(
    layer: Overlay,
    when: Callable[[str, Callable[[Any], None]], None],
    replace: Callable[[Any, str, Any], None],
) -> None:
    """Patch, by ``replace(owner, name, replacement)``, what opens paths in C, ``when`` it is imported."""

    def patch(owner: Any, name: str, at: int, keyword: str, choose: Any) -> None:
        original = getattr(owner, name, None)
        if original is not None:
            replace(owner, name, dress(_chosen(layer, original, at, keyword, choose), original))

    def patch_writer(torch: Any) -> None:
        writer = getattr(torch._C, "PyTorchFileWriter", None)
        if writer is not None:
            replace(torch._C, "PyTorchFileWriter", _writer(layer, writer))

    for module, *how in _BY_PATH:
        when(module, lambda owner, how=how: patch(owner, *how))  # type: ignore[misc]
    when("torch", patch_writer)


def _chosen(layer: Overlay, original: Any, at: int, keyword: str, choose: Any) -> Any:
    """Return ``original`` with its path chosen by ``choose``."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if keyword in kwargs:
            kwargs[keyword] = choose(layer, kwargs[keyword])
        elif len(args) > at:
            args = (*args[:at], choose(layer, args[at]), *args[at + 1 :])
        return original(*args, **kwargs)

    return call


def _writer(layer: Overlay, writer: Any) -> Any:
    """Return torch's writer of zip files on the layer; a class, as it is asked for by ``isinstance``."""

    class PyTorchFileWriter(writer):  # type: ignore[misc]
        def __init__(self, target: Any, *args: Any, **kwargs: Any) -> None:
            super().__init__(write_path(layer, target), *args, **kwargs)

    return PyTorchFileWriter
