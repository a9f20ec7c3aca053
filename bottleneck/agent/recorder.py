"""Writes spans to this process's own append-only file: cheap enough to be always on, readable after SIGKILL.

No locks, because a garbage collection or a signal handler may re-enter in the middle of any line: two writers
that meet can at worst lose one span. No threads, no exit hook that matters: blocks go out by plain ``write`` when
the buffer is full or a quarter of a second old, and the page cache survives the process.

A span joins a flat list of integers, eight each, and is packed with many others when the block goes out. Code that
runs between a model's kernels is cold: packing at once costs 4.5 us there, joining the list 0.4 us. Integers are
nothing that the garbage collector counts.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from _thread import get_ident
from collections.abc import Callable
from typing import Any

from . import kinds, late, report
from .hooks import Hooks
from .thinning import Thinning

_FIELDS = 8  # of a span
_MOST = 1024 * _FIELDS
_CHUNK = 64  # spans packed by one call
_FLUSH_NS = 250_000_000  # what a SIGKILL may cost at most
_MAX_NAMES = 10_000  # a script that makes class names up must not fill our memory
_pack = struct.Struct(kinds.SPAN).pack
_pack_chunk = struct.Struct(kinds.SPAN + kinds.SPAN[1:] * (_CHUNK - 1)).pack
_block = struct.Struct(kinds.BLOCK)
now = time.perf_counter_ns


class Recorder:
    """The file of one process. ``span`` is called by every hook; all else happens rarely."""

    def __init__(self, run: str, hooks: Hooks, header: Callable[[], dict[str, Any]]) -> None:
        """Record below the folder ``run``; ``header()`` gives the first event of each process."""
        self.run = run
        self.hooks = hooks
        self.header = header
        self.names: dict[str, int] = {"": 0}
        self.at_flush: list[Callable[[], None]] = []
        self.followed: dict[int, Callable[[int, int], None]] = {}  # called with kind and end, after the span
        self._fresh()

    def failed(self, hook: str, error: Exception) -> bool:
        """Count a failure of ``hook``; return True once it must not run any more."""
        if late.keep(error):
            return False
        off = self.hooks.failed(hook, error)
        if off and self.hooks.off.pop(hook, ""):
            self.event("failure", collector=hook, reason=f"{type(error).__name__}: {error}")
        return off

    def _fresh(self) -> None:
        """Forget what belongs to another process: after a fork, and at the start."""
        self.held: list[int] = []
        self.born = now()
        self.due = self.born + _FLUSH_NS
        self.fd = -1
        self.identity = (-1, -1)
        self.dead = False
        self.spans = 0
        self.threads = {get_ident(): 0}
        self.thinning = Thinning(child=False)

    def after_fork(self) -> None:
        """Start a file of its own in a forked child; the parent's buffer is the parent's to write."""
        if self.fd >= 0 and self._owns(self.fd):
            os.close(self.fd)
        self._fresh()
        self.thinning = Thinning(child=True)

    def span(
        self, kind: int, start: int, end: int, flags: int = 0, name: int = 0, a: int = 0, b: int = 0
    ) -> None:
        """Record that this thread did ``kind`` from ``start`` to ``end`` (monotonic ns). Never raises."""
        try:
            thread = self.threads.get(get_ident())
            if thread is None:
                thread = self._number_thread()
            held = self.held
            held += (start, end, kind, flags, thread, name, a, b)
            if end > self.due or len(held) >= _MOST:
                self.flush()
            if kind in self.followed:
                self.followed[kind](kind, end)
        except Exception as error:
            self._recover(error)

    def hold(self, kind: int, start: int, end: int, a: int = 0, b: int = 0) -> None:
        """Hold a span until the next one is recorded: nothing is written, so nothing can be imported. Never raises.

        For what the interpreter calls anywhere, as after a collection: in the middle of an import, another one (of a
        codec, to open a file) breaks that of the script (cpython issue 106176). Where nothing else is recorded
        meanwhile, a thousand are kept and later ones lost.
        """
        try:
            thread = self.threads.get(get_ident())
            if len(self.held) < _MOST:
                self.held += (
                    start,
                    end,
                    kind,
                    0,
                    self._number_thread() if thread is None else thread,
                    0,
                    a,
                    b,
                )
        except Exception as error:
            self._recover(error)

    def name(self, text: str) -> int:
        """Return the number of ``text`` in this record, adding it where it is new."""
        number = self.names.get(text)
        if number is None:
            if len(self.names) >= _MAX_NAMES:
                return 0
            number = self.names[text] = len(self.names)
            if self.fd >= 0:
                self._write(kinds.BLOCK_NAME, _name_payload(number, text))
        return number

    def event(self, kind: str, **data: Any) -> None:
        """Write one rare fact as JSON, at once. Never raises."""
        try:
            text = json.dumps({"kind": kind, "time_ns": now(), "data": data}, default=str)
            if self._open():
                self._write(kinds.BLOCK_EVENT, text.encode("utf-8", "backslashreplace")[:100_000])
        except Exception as error:
            if not late.keep(error):
                report("event " + kind, error)

    def has_something(self) -> bool:
        """Return whether this process recorded, or holds, anything."""
        return self.fd >= 0 or bool(self.held)

    def flush(self) -> None:
        """Write what the buffer holds and run the callbacks that want to run now and then. Never raises."""
        try:
            self._flush()
        except Exception as error:
            self._recover(error)

    def _flush(self) -> None:
        """Do what ``flush`` says."""
        held, self.held = self.held, []
        self.due = now() + _FLUSH_NS
        self.spans += len(held) // _FIELDS
        if held and self._open():
            payload = self.thinning.keep(_packed(held))
            if payload:
                self._write(kinds.BLOCK_SPANS, payload)
        for call in self.at_flush:
            call()

    def _number_thread(self) -> int:
        """Return a small number for the calling thread; 0 is the one that imported torch."""
        number = min(len(self.threads), 65_535)
        if len(self.threads) < 4096:  # thread ids recur; a bounded table is enough to tell them apart
            self.threads[get_ident()] = number
        return number

    def _open(self) -> bool:
        """Return whether the file is open, opening it at the first thing worth writing."""
        if self.fd >= 0 or self.dead:
            return not self.dead
        folder = self.thinning.folder(self.run)
        if folder is None:
            self.dead = True
            return False
        os.mkdir(folder, 0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        self.fd = _above_streams(os.open(folder + "/trace.bin", flags, 0o600))
        state = os.fstat(self.fd)
        self.identity = (state.st_dev, state.st_ino)
        self.event("header", born_ns=self.born, **self.header())
        for text, number in list(self.names.items()):
            self._write(kinds.BLOCK_NAME, _name_payload(number, text))
        return True

    def _owns(self, fd: int) -> bool:
        """Return whether ``fd`` is still our file: scripts that close all descriptors reuse the number."""
        try:
            state = os.fstat(fd)
        except OSError:
            return False
        return (state.st_dev, state.st_ino) == self.identity

    def _write(self, block: int, payload: bytes) -> None:
        """Append one block; a full disk or a closed descriptor ends the recording, not the training."""
        if self.dead:
            return
        if not self._owns(self.fd):
            self.dead = True
            report("recorder", OSError("the script closed our file; recording stopped"))
            return
        data = _block.pack(kinds.MAGIC, block, len(payload), zlib.crc32(payload)) + payload
        try:
            written = os.write(self.fd, data)
        except OSError as error:
            self.dead = True
            report("recorder", error)
            return
        self.thinning.written += written
        if written < len(data):  # the file system is full: the reader drops the torn block
            self.dead = True
            report("recorder", OSError("no space left for the record; recording stopped"))

    def _recover(self, error: Exception) -> None:
        """Go on after a failure inside ``span`` or ``flush``."""
        self.held = []
        if not late.keep(error):
            self.dead = True
            report("recorder", error)


def _packed(held: list[int]) -> bytes:
    """Return the spans in ``held`` as bytes; one with a number that does not fit its field is left out."""
    parts = []
    for start in range(0, len(held), _CHUNK * _FIELDS):
        chunk = held[start : start + _CHUNK * _FIELDS]
        try:
            parts.append(_pack_chunk(*chunk))
        except struct.error:  # the last chunk is shorter
            parts += [_packed_alone(chunk[at : at + _FIELDS]) for at in range(0, len(chunk), _FIELDS)]
    return b"".join(parts)


def _packed_alone(fields: list[int]) -> bytes:
    """Return one span as bytes, or nothing."""
    try:
        return _pack(*fields)
    except struct.error:
        return b""


def _above_streams(fd: int) -> int:
    """Return ``fd``, moved off the numbers of the standard streams where those were closed."""
    if fd > 2:
        return fd
    import fcntl

    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return moved


def _name_payload(number: int, text: str) -> bytes:
    """Return the bytes that define one name; texts are cut so that none can bloat the record."""
    return struct.pack("<I", number) + text[:300].encode("utf-8", "backslashreplace")
