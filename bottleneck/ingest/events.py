"""The events of a Chrome trace, decoded from JSON that may be cut off or damaged anywhere."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from operator import or_
from types import GenericAlias
from typing import Any

import msgspec

from ..errors import TraceError
from .blocks import BLOCK

_ARRAY = re.compile(rb'"traceEvents"\s*:\s*\[')
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]')
_HEAD = 16 << 20  # what stands before the events (device properties) is far smaller
_TAIL = 4 << 20  # of what stands after them, this much is read
_WHOLE = 32  # blocks: no event is larger, so a stretch without a boundary is no list of events
_TRIES = 3  # places tried for a cut before the text is scanned


class Arguments(msgspec.Struct, gc=False):
    """The arguments of an event that we use; all others are skipped while decoding."""

    correlation: Any = None
    stream: Any = None
    bytes: Any = None


class Event(msgspec.Struct, gc=False, tag_field="ph", tag="X"):
    """One thing that took time ("X" in ``ph``); ``ts`` and ``dur`` are us, NaN where they are missing."""

    cat: str = ""
    name: str = ""
    pid: Any = None
    tid: Any = None
    ts: float = math.nan
    dur: float = math.nan
    args: Arguments | None = None


class _Loose(msgspec.Struct, gc=False):
    """The same where types are not what they should be."""

    ph: Any = None
    cat: Any = None
    name: Any = None
    pid: Any = None
    tid: Any = None
    ts: Any = None
    dur: Any = None
    args: Any = None


# All other kinds of events of the format (flows, instants, names of threads): counted, none of their fields decoded.
_OTHERS = [
    msgspec.defstruct(f"Other{number}", [], tag_field="ph", tag=tag, gc=False)
    for number, tag in enumerate("BEiIsftbneMCSTpFNODPRcv(),")
]
_ANY: Any = GenericAlias(list, (reduce(or_, _OTHERS, Event),))  # list[Event | Other0 | ...]
_EVENTS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_ANY)
_LOOSE = msgspec.json.Decoder(list[_Loose])


class EventReader:
    """Whole events ("X") in batches, in the order of the file.

    Attributes:
        count: Events seen, of any kind.
        about: What stands beside the events: ``distributedInfo``, ``deviceProperties``, ...
        damage: What could not be read, one sentence each; complete once the iteration is over.
    """

    def __init__(self, blocks: Iterable[bytes]) -> None:
        """Prepare to decode ``blocks``."""
        self.about: dict[str, Any] = {}
        self.damage: list[str] = []
        self.count = 0
        self._blocks = iter(blocks)
        self._bad = 0
        self._closed = False

    def __iter__(self) -> Iterator[list[Event]]:
        """Iterate over batches of some thousand events.

        Raises:
            TraceError: This is no trace.
        """
        text = self._head()
        for block in self._blocks:
            text += block
            if len(text) < BLOCK:
                continue
            events, text = self._cut(text)
            yield events
            if self._closed:
                break
        if not self._closed:
            yield from self._last(text)
        else:
            self._tail(text)
        if self._bad:
            self.damage.append(f"{self._bad} of its events are no valid JSON and were left out")

    def _head(self) -> bytes:
        """Return what follows the opening of the event list in the first blocks."""
        text = b""
        for block in self._blocks:
            text += block
            start = text[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
            if start and start[:1] not in (b"{", b"["):
                raise TraceError("not a profiler trace (it is no JSON)")
            if start[:1] == b"[":
                return text[text.index(b"[") + 1 :]
            found = _ARRAY.search(text)
            if found is not None:
                self.about |= _mapping(text[: found.start()].rstrip().rstrip(b",") + b"}")
                return text[found.end() :]
            if len(text) > _HEAD:
                break
        if not text.strip():
            raise TraceError("empty")
        raise TraceError("not a profiler trace (no traceEvents in it)")

    def _cut(self, text: bytes) -> tuple[list[Event], bytes]:
        """Return the events up to a boundary near the end of ``text``, and the rest of it."""
        place = len(text)
        for _ in range(_TRIES):
            place = _boundary(text, place)
            if place < 0:
                break
            try:
                return self._decoded(_listed(text, 0, place)), text[place + 1 :]
            except msgspec.DecodeError:
                continue
        return self._scanned(text)

    def _scanned(self, text: bytes) -> tuple[list[Event], bytes]:
        """Return the complete events of ``text`` one by one, and what follows them."""
        events: list[Event] = []
        end = 0
        for start, stop in _objects(text):
            if stop < 0:  # the list's closing bracket
                self._closed = True
                return events, text[start + 1 :]
            end = stop
            try:
                events += self._decoded(_listed(text, start, stop))
            except msgspec.DecodeError:
                events += self._forgiven(text[start:stop])
        if end == 0 and len(text) > _WHOLE * BLOCK:
            self.damage.append("its list of events holds something else, and was read up to there")
            self._closed = True
        return events, text[end:].lstrip(b", \t\r\n") if end else text

    def _decoded(self, text: bytes) -> list[Event]:
        """Return the events of a JSON list; DecodeError where it is none."""
        try:
            found = _EVENTS.decode(text)
        except UnicodeDecodeError as error:
            raise msgspec.DecodeError(str(error)) from error
        except msgspec.ValidationError:
            loose = _LOOSE.decode(text)
            self.count += len(loose)
            return [_typed(event) for event in loose if event.ph == "X"]
        self.count += len(found)
        return [event for event in found if type(event) is Event]

    def _forgiven(self, text: bytes) -> list[Event]:
        """Return one event in spite of what Kineto is known to write: NaN, control characters, broken UTF-8."""
        found = _mapping(text)
        if not found:
            self._bad += 1
            return []
        self.count += 1
        known = {name: found.get(name) for name in _Loose.__struct_fields__}
        return [_typed(_Loose(**known))] if found.get("ph") == "X" else []

    def _last(self, text: bytes) -> Iterator[list[Event]]:
        """Iterate over what is left when the file is at its end, and say how it ended."""
        place = _boundary(text, len(text))
        if place > 0:
            try:
                events = self._decoded(_listed(text, 0, place))
                text = text[place + 1 :]
                yield events
            except msgspec.DecodeError:
                pass
        events, rest = self._scanned(text)
        yield events
        if self._closed:
            self._tail(rest)
        else:
            self.damage.append("it was cut off: it ends before its list of events does")

    def _tail(self, text: bytes) -> None:
        """Read what stands after the events, and the file to its end, so that its damage is known."""
        for block in self._blocks:
            if len(text) < _TAIL:
                text += block
        text = text.strip().lstrip(b",")
        if text not in (b"", b"}"):
            self.about |= _mapping(b"{" + text)


def _listed(text: bytes, start: int, stop: int) -> bytes:
    """Return a part of ``text`` as a JSON list, copied once."""
    return b"".join((b"[", memoryview(text)[start:stop], b"]"))


def _boundary(text: bytes, place: int) -> int:
    """Return the place of the last comma before ``place`` that stands between two objects, -1 without one."""
    while (place := text.rfind(b"{", 0, place)) > 0:
        before = text[max(0, place - 64) : place].rstrip()
        if before.endswith(b",") and before[:-1].rstrip().endswith(b"}"):
            return text.rfind(b",", 0, place)
    return -1


def _objects(text: bytes) -> Iterator[tuple[int, int]]:
    """Iterate over (start, end) of the complete objects in a list, then (place, -1) of its closing bracket."""
    depth = start = 0
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark == b'"':  # a text without an end: cut off inside it
            return
        if mark in b"{[":
            if depth == 0:
                start = token.start()
            depth += 1
        elif mark in b"}]":
            if depth == 0:
                yield token.start(), -1
                return
            depth -= 1
            if depth == 0:
                yield start, token.end()


def _typed(event: _Loose) -> Event:
    """Return an event with types as they should be."""
    args = event.args if isinstance(event.args, dict) else {}
    return Event(
        cat=str(event.cat),
        name=str(event.name),
        pid=str(event.pid),
        tid=str(event.tid),
        ts=number(event.ts),
        dur=number(event.dur),
        args=Arguments(**{name: args.get(name) for name in Arguments.__struct_fields__}),
    )


def number(value: Any) -> float:
    """Return ``value`` as a float, NaN where it is no number; numbers in quotes count."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _mapping(text: bytes) -> Mapping[str, Any]:
    """Return the JSON object in ``text``, empty where it is none."""
    try:
        found = json.loads(text.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
