"""What the device did at every instant, why it idled, and which phase of the step that time belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .. import intervals
from ..model.device import COPIES, DeviceWork, Work
from ..model.span import Kind, Spans
from .phases import COLUMN, Segments

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# What the device does, the first that applies: a kernel that computes hides communication, and both hide copies.
STATES = (
    "compute",
    "communication",
    "copy_in",
    "copy_out",
    "copy_within",
    "idle_input",
    "idle_sync",
    "idle_queue",
    "idle_host",
)
STATE = {name: number for number, name in enumerate(STATES)}
IDLE = [STATE[name] for name in STATES if name.startswith("idle")]
_LAYERS = (
    (STATE["compute"], (Work.COMPUTE,)),
    (STATE["communication"], (Work.COMMUNICATION,)),
    (STATE["copy_in"], (Work.COPY_IN,)),
    (STATE["copy_out"], (Work.COPY_OUT,)),
    (STATE["copy_within"], (Work.COPY_WITHIN, Work.FILL)),
)
# From one queued kernel to the next a device takes 1-3 us, across streams (an event) up to some 10: longer is no delay
# of its own.
_HANDOVER_NS = 20_000
_NO_WORK = [COLUMN["data_wait"], COLUMN["sync"]]  # a host that waits launches nothing: what runs is nobody's


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTime:
    """The device's time as stretches that join, and the step's phases as the device saw them.

    Attributes:
        edges_ns: Edges of the stretches, int64, shape (n + 1,).
        state: Index into ``STATES``, int64, shape (n,).
        column: Phase each stretch belongs to, index into ``phases.COLUMNS``, shape (n,).
    """

    edges_ns: Ints
    state: Ints
    column: Ints

    def totals(self, bounds_ns: Ints) -> Ints:
        """Return ns per state between ``bounds_ns``, shape (len(bounds_ns) - 1, len(STATES))."""
        return intervals.totals(self.edges_ns, self.state, bounds_ns, len(STATES))


def attribute(work: DeviceWork, spans: Spans, host: Segments) -> DeviceTime:
    """Return what the device did from the first to the last edge of ``host``.

    While it computes, time belongs to the phase of the host that launched the kernel, however much later that runs.
    Communication and copies count where no kernel computes beside them. While the device idles, the host decides:

    - it waits for a batch: ``idle_input``, phase ``data_wait``;
    - the device ran dry while the host was in a call that waits for it, and nothing was launched since:
      ``idle_sync``, phase ``sync``;
    - the next piece of work had been launched before the device ran dry (a dependency, or the device's own delay):
      ``idle_queue``, phase of that work where it is short, else ``other``: it waits for what the trace does not tell;
    - else the host had not issued more work: ``idle_host``, phase of the host.

    Args:
        work: By start; at least one row.
        spans: The trainer's.
        host: What the training thread did.
    """
    first, last = int(host.edges_ns[0]), int(host.edges_ns[-1])
    layers = [(state, *_pieces(work, kinds)) for state, kinds in _LAYERS]
    busy = intervals.union(work.start_ns, work.end_ns)
    idle = intervals.gaps(*busy, first, last)
    cuts = [part for _, start, end, _ in layers for part in (start, end)]
    edges = np.unique(np.concatenate([host.edges_ns, *cuts, *idle]))
    edges = edges[(edges >= first) & (edges <= last)]
    at = edges[:-1]
    doing = host.column[
        np.clip(np.searchsorted(host.edges_ns, at, side="right") - 1, 0, len(host.column) - 1)
    ]
    state, column = _idling(work, spans, idle, at, doing, host)
    for number, start, end, owner in reversed(layers):
        piece = intervals.containing(start, end, at)
        inside = piece >= 0
        state[inside] = number
        column[inside] = _phase(work, owner[piece[inside]], host, doing[inside])
    return DeviceTime(edges_ns=edges, state=state, column=column)


def _pieces(work: DeviceWork, kinds: tuple[Work, ...]) -> tuple[Ints, Ints, Ints]:
    """Return disjoint intervals of the work of some kinds, and the row each belongs to."""
    rows = np.flatnonzero(work.is_of(*kinds))
    start, end, owner = intervals.disjoint(work.start_ns[rows], work.end_ns[rows])
    return start, end, rows[owner]


_PHASE_OF = np.full(max(Work) + 1, -1, np.int64)
_PHASE_OF[Work.COMMUNICATION], _PHASE_OF[Work.COPY_IN] = COLUMN["communication"], COLUMN["h2d"]
_PHASE_OF[Work.COPY_OUT] = COLUMN["sync"]


def _phase(work: DeviceWork, rows: Ints, host: Segments, doing: Ints) -> Ints:
    """Return the phase of work: by what it is, or by what the host did when it launched it.

    Where the launch is not known, that is what the host is ``doing``.
    """
    launched = work.launch_ns[rows]
    place = np.searchsorted(host.edges_ns, launched, side="right") - 1
    known = (launched >= 0) & (place >= 0) & (place < len(host.column))
    found = np.where(known, host.column[np.clip(place, 0, len(host.column) - 1)], doing)
    found = np.where(np.isin(found, _NO_WORK), COLUMN["other"], found)
    fixed = _PHASE_OF[work.kind[rows]]
    return np.where(fixed >= 0, fixed, found)


def _idling(
    work: DeviceWork, spans: Spans, idle: tuple[Ints, Ints], at: Ints, doing: Ints, host: Segments
) -> tuple[Ints, Ints]:
    """Return state and phase of every stretch as if the device idled in it."""
    begin, end = idle
    gap = intervals.containing(begin, end, at)
    held = np.zeros(len(begin) + 1, bool)  # one more for stretches in no gap: index -1
    queued = held.copy()
    waits = spans.where(spans.kind == Kind.SYNC)
    held[:-1] = intervals.containing(*intervals.union(waits.start_ns, waits.end_ns), begin) >= 0
    following = np.searchsorted(work.start_ns, end)
    known = following < len(work)
    following = np.minimum(following, len(work) - 1)
    launch = work.launch_ns[following]
    queued[:-1] = known & (launch >= 0) & (launch <= begin)
    waiting = doing == COLUMN["data_wait"]
    state = np.select(
        [waiting, queued[gap], held[gap]],
        [STATE["idle_input"], STATE["idle_queue"], STATE["idle_sync"]],
        STATE["idle_host"],
    ).astype(np.int64)
    column = np.where(state == STATE["idle_sync"], COLUMN["sync"], doing)
    late = np.flatnonzero(state == STATE["idle_queue"])
    long = (end - begin)[gap[late]] > _HANDOVER_NS
    column[late] = np.where(long, COLUMN["other"], _phase(work, following[gap[late]], host, doing[late]))
    return state, column


def temporal(work: DeviceWork) -> dict[str, int]:
    """Return ns from the first to the last piece of work: ``span``, ``idle``, ``compute``, ``other`` (busy, but not
    computing), ``communication`` and ``overlap`` (communication beside computing).

    Source:
        The definitions are those of Holistic Trace Analysis, "temporal breakdown" and "communication computation
        overlap".
    """
    busy = intervals.union(work.start_ns, work.end_ns)
    compute, exchange = (_union(work, kind) for kind in (Work.COMPUTE, Work.COMMUNICATION))
    both = intervals.union(*(np.concatenate(pair) for pair in zip(compute, exchange, strict=True)))
    ran, computed, exchanged, either = (
        int((end - start).sum()) for start, end in (busy, compute, exchange, both)
    )
    span = int(busy[1][-1] - busy[0][0]) if len(busy[0]) else 0
    return {
        "span": span,
        "idle": span - ran,
        "compute": computed,
        "other": ran - computed,
        "communication": exchanged,
        "overlap": computed + exchanged - either,
    }


def _union(work: DeviceWork, *kinds: Work) -> tuple[Ints, Ints]:
    """Return when work of some kinds ran."""
    chosen = work.is_of(*kinds)
    return intervals.union(work.start_ns[chosen], work.end_ns[chosen])


def ran(work: DeviceWork, bounds_ns: Ints, *kinds: Work) -> Ints:
    """Return ns in which work of some kinds ran between ``bounds_ns``, whatever ran beside it."""
    return intervals.covered(*_union(work, *kinds), bounds_ns)


def copies(work: DeviceWork, bounds_ns: Ints) -> Ints:
    """Return ns in which a copy of any kind ran between ``bounds_ns``."""
    return ran(work, bounds_ns, *COPIES)
