"""Records from plain Python: a loop is told as it happens, on a virtual clock.

``Loop().fetch(0.01).forward(0.02).backward(0.03).step(0.005)`` is one training step. Every call appends a span
that begins where the last one ended; ``with loop.inside(Kind.OPTIMIZER):`` holds what happens within. Seconds
become whole nanoseconds, so sums can be compared exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from trainbottleneck.analyze.timeline import Timeline, build
from trainbottleneck.analyze.trainer import find_trainers
from trainbottleneck.model.record import Event, Outcome, ProcessRecord, RunRecord, Stacks
from trainbottleneck.model.span import Flag, Kind, Spans

Row = tuple[
    int, int, int, int, int, int, int, int
]  # as in the file: start, end, kind, flags, thread, name, a, b
START_NS = 1_000_000_000  # when the virtual process starts: not zero, as no real clock is


def spans_of(rows: Sequence[Row], names: Sequence[str] = ("",)) -> Spans:
    """Return rows, in the order they were written, as columns."""
    columns = np.array(rows, dtype=np.int64).reshape(-1, 8).T
    types = (np.int64, np.int64, np.uint8, np.uint8, np.uint16, np.uint32, np.int64, np.int64)
    values = [column.astype(kind) for column, kind in zip(columns, types, strict=True)]
    return Spans(
        start_ns=values[0],
        end_ns=values[1],
        kind=values[2],
        flags=values[3],
        thread=values[4],
        name=values[5],
        a=values[6],
        b=values[7],
        names=tuple(names),
    )


def process(
    rows: Sequence[Row],
    *,
    names: Sequence[str] = ("",),
    events: Sequence[Event] = (),
    pid: int = 100,
    ppid: int = 1,
    rank: int | None = None,
    header: Mapping[str, Any] | None = None,
) -> ProcessRecord:
    """Return the record of one process that wrote ``rows``."""
    return ProcessRecord(
        key=f"p{pid}-0",
        pid=pid,
        ppid=ppid,
        rank=rank,
        header={"pid": pid, "ppid": ppid, **(header or {})},
        spans=spans_of(rows, names),
        events=tuple(events),
    )


def run(*processes: ProcessRecord, start_ns: int = 0, end_ns: int = 0, exit_code: int = 0) -> RunRecord:
    """Return the record of a run; it ends with the last span unless told otherwise."""
    last = max((int(p.spans.end_ns.max()) for p in processes if len(p.spans)), default=start_ns)
    outcome = Outcome(
        exit_code=exit_code,
        signal=None,
        stopped_by_us=False,
        start_ns=start_ns,
        end_ns=end_ns or last,
    )
    return RunRecord(
        schema=1,
        run_id="virtual",
        tool_version="0",
        started="2026-01-01T00:00:00+00:00",
        command={"argv": ["python", "train.py"], "form": "script", "script": "train.py"},
        environment={},
        outcome=outcome,
        processes=tuple(processes),
    )


class Loop:
    """A training loop as it happens in one thread. Methods return the loop, times are in seconds."""

    def __init__(self, thread: int = 0) -> None:
        """Start the virtual clock."""
        self.now = START_NS
        self.thread = thread
        self.rows: list[Row] = []
        self.names: list[str] = [""]
        self.events: list[Event] = []

    def span(
        self, kind: Kind, seconds: float, *, flags: int = 0, name: str = "", a: int = 0, b: int = 0
    ) -> Loop:
        """Append a span that takes ``seconds``."""
        start = self.now
        self.now += round(seconds * 1e9)
        return self._write(kind, start, flags, name, a, b)

    def _write(self, kind: Kind, start: int, flags: int, name: str, a: int, b: int) -> Loop:
        """Write what began at ``start`` and ends now."""
        if name not in self.names:
            self.names.append(name)
        self.rows.append((start, self.now, kind, flags, self.thread, self.names.index(name), a, b))
        return self

    @contextmanager
    def inside(self, kind: Kind, *, flags: int = 0, name: str = "", a: int = 0, b: int = 0) -> Iterator[Loop]:
        """Hold what happens within a span of ``kind``; it is written at its end, as the agent does."""
        start = self.now
        yield self
        self._write(kind, start, flags, name, a, b)

    def other(self, seconds: float) -> Loop:
        """Let time pass without a span."""
        self.now += round(seconds * 1e9)
        return self

    def begin(self, loader: int = 1, seconds: float = 0.001) -> Loop:
        """Start a pass over a loader."""
        return self.span(Kind.ITER, seconds, b=loader)

    def fetch(self, seconds: float = 0.01, loader: int = 1, *, first: bool = False, ready: int = -1) -> Loop:
        """Ask a loader for a batch."""
        return self.span(Kind.NEXT, seconds, flags=Flag.FIRST if first else 0, a=ready, b=loader)

    def exhaust(self, loader: int = 1, seconds: float = 0.0001) -> Loop:
        """Ask for a batch that is not there: the end of the pass."""
        return self.span(Kind.NEXT, seconds, flags=Flag.STOP, a=-1, b=loader)

    def forward(
        self, seconds: float = 0.02, *, train: bool = True, grad: bool = True, name: str = "Net"
    ) -> Loop:
        """Call a model."""
        return self.span(Kind.FORWARD, seconds, flags=_mode(train, grad), name=name)

    def infer(self, seconds: float = 0.02, *, name: str = "Net") -> Loop:
        """Call a model in evaluation mode and without gradients."""
        return self.forward(seconds, train=False, grad=False, name=name)

    def backward(self, seconds: float = 0.03) -> Loop:
        """Run the autograd engine."""
        return self.span(Kind.BACKWARD, seconds)

    def step(self, seconds: float = 0.005, optimizer: int = 1) -> Loop:
        """Step an optimizer."""
        return self.span(Kind.OPTIMIZER, seconds, b=optimizer)

    def plain(self, count: int = 1, loader: int = 1) -> Loop:
        """Take ordinary training steps."""
        for _ in range(count):
            self.fetch(loader=loader).forward().backward().step()
        return self

    def validate(self, batches: int = 3, loader: int = 2, *, train: bool = False, grad: bool = False) -> Loop:
        """Evaluate over a loader from its first batch to its end."""
        self.begin(loader)
        for number in range(batches):
            self.fetch(0.004, loader, first=number == 0).forward(0.006, train=train, grad=grad)
        return self.exhaust(loader)

    def tell(self, kind: str, **data: Any) -> Loop:
        """Append an event."""
        self.events.append(Event(kind=kind, time_ns=self.now, data=data))
        return self

    def process(self, **keywords: Any) -> ProcessRecord:
        """Return the record of a process that ran this loop."""
        return process(self.rows, names=self.names, events=self.events, **keywords)

    def timeline(self, stacks: Sequence[Stacks] = ()) -> Timeline:
        """Return the timeline the analyses make of it."""
        found = build(find_trainers([self.process()])[0], stacks)
        assert found is not None
        return found


def _mode(train: bool, grad: bool) -> int:
    """Return the flags of a forward."""
    return (Flag.TRAINING if train else 0) | (Flag.GRAD if grad else 0)
