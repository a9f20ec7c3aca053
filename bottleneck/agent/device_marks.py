"""Tells when a GPU got to the end of each phase, by events in its queue and without ever waiting for it.

An event is put into the queue where forward, backward or an update has just been issued, and read when spans are
written out, once the device has passed it. What lies between two events is what the device did for a phase, gaps
included; how much later than its making an event was passed is how far the device lags behind the host.

Source:
    CUDA C++ Programming Guide, Events; torch.cuda.Event. What a mark costs was not yet measured on a GPU: some 10 us
    are reckoned with, so short steps are looked at now and then only.
"""

from __future__ import annotations

from _thread import get_ident
from collections import deque
from typing import Any

from . import kinds
from .recorder import Recorder, now

_LONG_NS = 4_000_000  # between updates: four marks of some 10 us are a quarter of a percent of that
_BURST, _REST = (
    4,
    28,
)  # updates that are looked at, and not, where they are shorter: several optimizers take turns
_MOST_WAITING = (
    256  # marks that the device has not passed: beyond, it is so far behind that more tell nothing
)
PHASES = (kinds.FORWARD, kinds.BACKWARD, kinds.OPTIMIZER)


class DeviceMarks:
    """Makes and reads the events of the thread that trains, on the device that it trains on first."""

    def __init__(self, torch: Any, recorder: Recorder) -> None:
        """Wait until the script uses a GPU; ``look`` is to be called now and then."""
        self.cuda = torch.cuda
        self.recorder = recorder
        self.off = False
        self._thread = self._device = -1
        self._edge = kinds.BACKWARD  # ends an update; optimizers do where there are any
        self._edges = self._last_edge = 0
        self._active = False
        self._broken = True  # the next mark has none right before it
        self._waiting: deque[tuple[Any, int, int]] = deque()
        self._passed: Any = None  # the last event that was read
        self._ns = 0.0  # of the device, from the first event to that
        self._free: list[Any] = []

    def look(self) -> None:
        """Begin where the script has begun to use a GPU; read what the device has passed."""
        if self.off:
            return
        try:
            if self._device >= 0:
                self._read()
            elif self.cuda.is_initialized():
                self._device = int(self.cuda.current_device())
                for phase in PHASES:
                    self.recorder.followed[phase] = self.mark
        except Exception as error:
            self._fail(error)

    def mark(self, phase: int, end: int) -> None:
        """Put an event behind what ``phase``, which ended at ``end``, has issued."""
        if self._thread < 0 and phase != kinds.FORWARD:
            self._thread = get_ident()
        if self.off or get_ident() != self._thread:
            return
        try:
            if self._wants(phase, end):
                self._record(phase)
            else:
                self._broken = True
        except Exception as error:
            self._fail(error)

    def leave(self) -> None:
        """Make and read no more: after a fork they are another process's, and at the end nobody's."""
        self.off = True
        self.recorder.followed.clear()

    def _wants(self, phase: int, end: int) -> bool:
        """Return whether this mark is one of an update that is looked at, or of the edge of one."""
        if phase == kinds.OPTIMIZER:
            self._edge = phase
        if phase != self._edge:
            return self._active
        before, self._edges = self._active, self._edges + 1
        long = end - self._last_edge >= _LONG_NS
        self._active = long or self._edges % (_BURST + _REST) < _BURST
        self._last_edge = end
        return before or self._active

    def _record(self, phase: int) -> None:
        """Put one event into the current stream, unless it is recording a graph."""
        cuda = self.cuda
        if cuda.is_current_stream_capturing() or cuda.current_device() != self._device:
            self._broken = True
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._broken = True
            return
        event = self._free.pop() if self._free else cuda.Event(enable_timing=True)
        flags = phase | (kinds.APART if self._broken else 0)
        at = now()
        event.record()
        self._waiting.append((event, at, flags))
        self._broken = False

    def _read(self) -> None:
        """Record the marks that the device has passed; never where a query would spoil the recording of a graph."""
        if get_ident() != self._thread or self.cuda.is_current_stream_capturing():
            return
        while self._waiting and self._waiting[0][0].query():
            event, at, flags = self._waiting.popleft()
            if self._passed is not None:
                # From one event to the next: as milliseconds of 32 bits, hours from the first would lose the rest.
                self._ns += self._passed.elapsed_time(event) * 1e6
                self._free.append(self._passed)
            self._passed = event
            read = now()
            self.recorder.span(kinds.DEVICE, read, read, flags, 0, at, round(self._ns))

    def _fail(self, error: Exception) -> None:
        """Stop after the first failure: the next call of CUDA's would only meet it again."""
        self.off = True
        self.recorder.followed.clear()
        self._waiting.clear()
        self.recorder.event("failure", collector="device marks", reason=f"{type(error).__name__}: {error}")
