"""Stack windows on disk: ``stacks-<n>.json``, frames listed once and pointed to."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ..errors import RecordError
from ..model.record import StackCount, Stacks

SCHEMA = 1
# 4,000 stacks hold all but single samples of a minute: the rest is noise that no report shows.
MOST_STACKS = 4000
MOST_FRAMES = 256  # deeper is recursion; the innermost ones are kept
# 4,000 stacks of 256 frames come to 5 MB; the frames' names to less.
_LARGEST = 32_000_000
# Names come from the training's own source: 4,000 stacks seldom hold more than 5,000 different frames.
_MOST_NAMES = 500_000


class _Stack(msgspec.Struct, array_like=True):
    pid: int
    thread: str
    frames: list[int]
    count: int
    source: str = ""


class _File(msgspec.Struct):
    schema: int
    start_ns: int
    end_ns: int
    rate_hz: float
    frames: list[tuple[str, str, int]]
    stacks: list[_Stack]


def save_stacks(stacks: Stacks, path: Path) -> None:
    """Write ``path`` whole or not at all, for its owner alone; OSError where that can't be done."""
    index: dict[tuple[str, str, int], int] = {}
    rows = [
        _Stack(c.pid, c.thread, [index.setdefault(f, len(index)) for f in c.frames], c.count, c.source)
        for c in stacks.counts
    ]
    content = _File(SCHEMA, stacks.start_ns, stacks.end_ns, stacks.rate_hz, list(index), rows)
    new = path.with_name(path.name + ".new")
    # Names may hold lone surrogates (undecodable file names): they become question marks, not an error.
    data = msgspec.json.encode(_encodable(content))
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _encodable(content: _File) -> _File:
    content.frames = [(_clean(name), _clean(file), line) for name, file, line in content.frames]
    for stack in content.stacks:
        stack.thread, stack.source = _clean(stack.thread), _clean(stack.source)
    return content


def load_stacks(path: Path) -> Stacks:
    """Return the stacks of one window; RecordError, in one line, where the file is none of ours."""
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror or error}") from error
    if len(data) > _LARGEST:
        raise RecordError(f"{path}: larger than any file of stacks")
    try:
        read = msgspec.json.decode(data, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{path}: no stacks: {error}") from error
    problem = _problem(read)
    if problem:
        raise RecordError(f"{path}: {problem}")
    return Stacks(
        start_ns=read.start_ns,
        end_ns=read.end_ns,
        rate_hz=read.rate_hz,
        counts=tuple(_count(stack, read.frames) for stack in read.stacks),
    )


def _problem(read: _File) -> str:
    """Return why the content is impossible, or ""."""
    if read.schema != SCHEMA:
        return f"format {read.schema}, this version reads {SCHEMA}"
    if len(read.stacks) > MOST_STACKS or len(read.frames) > _MOST_NAMES:
        return "more stacks than are ever written"
    if read.end_ns < read.start_ns or not 0 < read.rate_hz <= 10_000:
        return "impossible window or rate"
    for stack in read.stacks:
        if len(stack.frames) > MOST_FRAMES or stack.count < 1 or stack.pid < 0:
            return "impossible stack"
        if any(not 0 <= at < len(read.frames) for at in stack.frames):
            return "a stack points to a frame that is not there"
    return ""


def _count(stack: _Stack, frames: list[tuple[str, str, int]]) -> StackCount:
    return StackCount(
        pid=stack.pid,
        thread=stack.thread,
        frames=tuple(frames[at] for at in stack.frames),
        count=stack.count,
        source=stack.source,
    )
