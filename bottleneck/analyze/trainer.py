"""Which process and thread train, and which processes make batches for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.record import ProcessRecord
from ..model.span import Kind, Spans
from .nesting import within

# Spans that take part in the account of a step; the rest describe what happens inside these.
PHASE_KINDS = (
    Kind.NEXT,
    Kind.ITER,
    Kind.FORWARD,
    Kind.BACKWARD,
    Kind.OPTIMIZER,
    Kind.SCALER,
    Kind.TRANSFER,
    Kind.SYNC,
    Kind.COLLECTIVE,
    Kind.SAVE,
    Kind.LOG,
    Kind.GC,
    Kind.COMPILE,
    Kind.ZERO_GRAD,
    Kind.PAUSE,
    Kind.GAP,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """The process that trains and its training thread.

    Attributes:
        process: Its record.
        thread: Number of the thread that steps the optimizer.
        spans: That thread's spans that take part in the account, by start, outer before inner.
    """

    process: ProcessRecord
    thread: int
    spans: Spans


def find_trainers(processes: Sequence[ProcessRecord]) -> tuple[Trainer, ...]:
    """Return the processes that train: with optimizer steps, or with backward passes where none has those.

    Order is by rank, then by start. A process with less than a hundredth of the busiest one's steps (a warm-up
    of some server, a unit test) is none of them.
    """
    for kind in (Kind.OPTIMIZER, Kind.BACKWARD):
        counts = {p.key: int(np.count_nonzero(p.spans.kind == kind)) for p in processes}
        most = max(counts.values(), default=0)
        if most:
            chosen = [p for p in processes if counts[p.key] * 100 >= most]
            chosen.sort(key=lambda p: p.rank if p.rank is not None else -1)
            return tuple(_trainer(p, kind) for p in chosen)
    return ()


def _trainer(process: ProcessRecord, kind: Kind) -> Trainer:
    """Return ``process`` with the thread that has most spans of ``kind``."""
    threads = process.spans.thread[process.spans.kind == kind]
    thread = int(np.bincount(threads).argmax())
    own = process.spans.where((process.spans.thread == thread) | (process.spans.kind == Kind.GAP))
    own = own.of(*PHASE_KINDS)
    written = np.arange(len(own))  # of two with equal times the outer one was written later
    own = own.where(np.lexsort((-written, -own.end_ns, own.start_ns)))
    return Trainer(process=process, thread=thread, spans=own.where(~_traced(own)))


def _traced(spans: Spans) -> npt.NDArray[np.bool_]:
    """Return which spans are a compiler tracing the model, not the training calling it."""
    traced: npt.NDArray[np.bool_] = within(spans, spans.kind == Kind.COMPILE)
    traced &= np.isin(spans.kind, (Kind.FORWARD, Kind.BACKWARD, Kind.OPTIMIZER))
    return traced


def batch_makers(trainer: Trainer, processes: Sequence[ProcessRecord]) -> tuple[ProcessRecord, ...]:
    """Return the loader workers of ``trainer``: other processes that make batches, started by it or below it."""
    own = trainer.process.pid
    host = trainer.process.header.get("host")
    processes = [p for p in processes if p.header.get("host") == host]  # process ids recur on other hosts
    parents = {p.pid: p.ppid for p in processes}

    def below(pid: int) -> bool:
        for _ in range(8):  # spawned workers hang below at most a server process or two
            pid = parents.get(pid, 0)
            if pid == own:
                return True
        return False

    making = [p for p in processes if p.key != trainer.process.key and np.any(p.spans.kind == Kind.BATCH)]
    return tuple(p for p in making if own in (p.ppid, p.header.get("maker")) or below(p.pid))
