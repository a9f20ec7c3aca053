"""py-spy's raw text -> stacks: bounded, whatever the text, and with the user's source line beside each."""

from __future__ import annotations

import linecache
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..model.code import is_users
from ..model.record import StackCount
from ..store.stacks import MOST_FRAMES, MOST_STACKS
from .redact import redact_text

Frame = tuple[str, str, int]
LONGEST_NAME = 200
LONGEST_PATH = 1024
_MOST_FILES = 1000
_LARGEST_SOURCE = 4_000_000
_LARGEST_INT = 1 << 53

# process 12:"python train.py";process 15:"python train.py";thread (15): MainThread;f (/a/b.py:3);... 7
_RECORD = re.compile(r'(?m)^(?=process \d+:"|thread \()')
_PROCESS = re.compile(r'(?s)process (\d+):".*?";(?=process \d+:"|thread \()')
_THREAD = re.compile(r"thread \((?:0x)?[0-9A-Fa-f]+\)(?:: )?")


def _number(text: str) -> int:
    """Return a decimal number, 0 where it is none or absurdly large."""
    return min(int(text), _LARGEST_INT) if text.isdecimal() and len(text) < 20 else 0


def _frame(piece: str) -> Frame | None:
    """Return the frame in "function (file:line)" or "function (<file>)", None where it is neither."""
    function, opening, location = piece.partition(" (")
    if not opening or not location.endswith(")"):
        return None
    location = location[:-1]
    file, colon, line = location.rpartition(":")
    if colon and line.removeprefix("-").isdecimal():
        return function[:LONGEST_NAME], file[:LONGEST_PATH], _number(line)
    return (function[:LONGEST_NAME], location[:LONGEST_PATH], 0) if location.startswith("<") else None


def _frames(pieces: Sequence[str]) -> tuple[str, list[Frame]]:
    """Return the thread's name and the frames; a name may itself hold the separator."""
    first = next((at for at, piece in enumerate(pieces) if at and _frame(piece)), len(pieces))
    name = ";".join(pieces[:first])
    frames = [frame for piece in pieces[first:] if (frame := _frame(piece)) is not None]
    return name[:LONGEST_NAME], frames


def _own(frames: list[Frame]) -> list[Frame]:
    """Return the frames without those that a forked process inherited from its parent.

    A process that multiprocessing started, in whichever way, begins its own work in
    BaseProcess._bootstrap; everything outside of it is where the parent forked.
    """
    for at in range(len(frames) - 1, 0, -1):
        function, file, _ = frames[at]
        if function.rsplit(".", 1)[-1] == "_bootstrap" and file.replace("\\", "/").endswith(
            "multiprocessing/process.py"
        ):
            return frames[at:]
    return frames


def _record(text: str, pid: int) -> tuple[int, str, tuple[Frame, ...], int] | None:
    """Return process id, thread, frames and samples of one record, or None where it is damaged."""
    stack, space, samples = text.rstrip("\r\n").rpartition(" ")
    count = _number(samples)
    if not space or count < 1:
        return None
    at = 0
    while (process := _PROCESS.match(stack, at)) is not None:  # the innermost process is the stack's own
        pid, at = _number(process[1]), process.end()
    thread = _THREAD.match(stack, at)
    if thread is None:
        return None
    name, frames = _frames(stack[thread.end() :].split(";"))
    return (pid, name, tuple(_own(frames)[-MOST_FRAMES:]), count) if frames else None


def parse_raw(text: str, pid: int = 0) -> tuple[StackCount, ...]:
    """Return the stacks in the output of ``py-spy record --format raw``, the most frequent first.

    Frames are outermost first; a forked worker's stack starts with its own work. At most
    ``MOST_STACKS`` are kept. ``pid`` stands in where the text names no process. Damaged records are
    left out; no text raises.
    """
    counter: Counter[tuple[int, str, tuple[Frame, ...]]] = Counter()
    for piece in _RECORD.split(text):
        read = _record(piece, pid)
        if read is not None:
            counter[read[:3]] += read[3]
    ordered = sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:MOST_STACKS]
    return tuple(
        StackCount(pid=key[0], thread=key[1], frames=key[2], count=min(count, _LARGEST_INT))
        for key, count in ordered
    )


class _Sources:
    """Lines of source files, read once, of ordinary files of an ordinary size only."""

    def __init__(self) -> None:
        self._files: dict[str, list[str]] = {}

    def line(self, file: str, number: int) -> str:
        """Return the stripped line, or "" where it can't be read."""
        lines = self._files.get(file)
        if lines is None:
            lines = self._files[file] = self._read(file) if len(self._files) < _MOST_FILES else []
        return lines[number - 1].strip()[:LONGEST_NAME] if 1 <= number <= len(lines) else ""

    def _read(self, file: str) -> list[str]:
        try:
            path = Path(file)
            if path.is_file() and path.stat().st_size <= _LARGEST_SOURCE:
                linecache.checkcache(str(path.absolute()))
                return linecache.getlines(str(path.absolute()))
        except (OSError, ValueError, MemoryError):
            pass  # no access, a null byte in the name: then there is no text to show
        return []


def source_lines(counts: Sequence[StackCount], library_paths: Sequence[str] = ()) -> tuple[StackCount, ...]:
    """Return the stacks with ``source``: the text of the innermost line that is the user's.

    What is the user's: see ``is_users``. Secrets in the line are replaced by ``***``.
    """
    sources = _Sources()
    users: dict[str, bool] = {}
    texts: dict[Frame, str] = {}
    return tuple(replace(c, source=_source(c.frames, library_paths, sources, users, texts)) for c in counts)


def _source(
    frames: Sequence[Frame],
    library_paths: Sequence[str],
    sources: _Sources,
    users: dict[str, bool],
    texts: dict[Frame, str],
) -> str:
    for frame in reversed(frames):
        file = frame[1]
        if file not in users:
            users[file] = is_users(file, library_paths)
        if users[file]:
            if frame not in texts:
                texts[frame] = redact_text(sources.line(file, frame[2]))
            return texts[frame]
    return ""


def threads(counts: Iterable[StackCount]) -> Mapping[tuple[int, str], int]:
    """Return the samples by (process id, thread name)."""
    found: Counter[tuple[int, str]] = Counter()
    for stack in counts:
        found[stack.pid, stack.thread] += stack.count
    return found
