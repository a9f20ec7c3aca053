"""What a rank exchanged: its groups, its collectives, and how DistributedDataParallel is set up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...model.ranks import Calls
from ...model.record import ProcessRecord
from ...model.span import Flag, Kind, Spans

DDP = "ddp_all_reduce"
# Of these nobody is let go before the last one has come: ends agree between ranks, and early ranks wait.
_ALL_MEET = frozenset(
    (
        DDP,
        "all_gather",
        "all_gather_into_tensor",
        "all_gather_object",
        "all_gather_single",
        "all_reduce",
        "all_to_all",
        "all_to_all_single",
        "barrier",
        "monitored_barrier",
        "reduce_scatter",
        "reduce_scatter_single",
        "reduce_scatter_tensor",
    )
)
_MOST_GROUPS = 8  # of one rank: data, tensor, pipeline, expert and context parallel, and then some


def meets(name: str) -> bool:
    """Return whether nobody leaves the operation called ``name`` before everybody has come."""
    return name in _ALL_MEET


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A process group as one rank told it: a key that is the same on all members, and facts."""

    key: str
    facts: Mapping[str, Any]


def groups_of(process: ProcessRecord) -> dict[int, Group]:
    """Return the groups a rank told, by their number in its record."""
    found: dict[int, Group] = {}
    for event in process.told("group"):
        data = event.data
        number, size = data.get("number"), data.get("size")
        if not isinstance(number, int) or not isinstance(size, int):
            continue
        label = str(data.get("label") or data.get("name") or "")
        label = "world" if data.get("world") else label
        facts = {
            "label": "" if label == "undefined" else label,
            "size": size,
            "backend": str(data.get("backend", "")),
            "world": bool(data.get("world")),
        }
        found[number] = Group(key=f"{data.get('name')}/{size}/{data.get('members')}", facts=facts)
    return found


def calls_of(
    spans: Spans, groups: Mapping[int, Group], steps: int, stride: int
) -> tuple[dict[str, Calls], dict[tuple[str, str], tuple[float, float, float]]]:
    """Return matched calls by group, and calls, bytes and exposed seconds per step by operation and group.

    Args:
        spans: Of the training thread, within the steps that count.
        groups: Of this rank.
        steps: How many steps these are.
        stride: Keep one matched call in so many.
    """
    spans = spans.of(Kind.COLLECTIVE)
    waits = spans.flags & Flag.WAIT != 0
    number = spans.b & 0xFFFF
    meets = np.array([name in _ALL_MEET for name in spans.names], bool)[spans.name]
    volume: dict[tuple[str, str], tuple[float, float, float]] = {}
    for name, group in {(int(n), int(g)) for n, g in zip(spans.name, number, strict=True)}:
        own = (spans.name == name) & (number == group)
        exposed = float((spans.end_ns - spans.start_ns)[own].sum()) / 1e9
        key = (spans.names[name], groups[group].key if group in groups else "")
        launched = own & ~waits
        volume[key] = (
            float(np.count_nonzero(launched)) / max(1, steps),
            float(spans.a[launched].sum()) / max(1, steps),
            exposed / max(1, steps),
        )
    calls = {}
    for group, facts in list(groups.items())[:_MOST_GROUPS]:
        # A call that was launched blocks in its wait; the launch itself takes no part.
        own = (number == group) & meets & (waits | (spans.flags & Flag.NON_BLOCKING == 0))
        if int(facts.facts["size"]) > 1 and own.any():
            calls[facts.key] = _calls(spans.where(own), stride)
    return calls, volume


def _calls(spans: Spans, stride: int) -> Calls:
    """Return the calls of one group whose number is a multiple of the stride, each once, in order."""
    sequence = spans.b >> 16
    kept = np.flatnonzero(sequence % stride == 0)
    _, first = np.unique(sequence[kept], return_index=True)
    chosen = spans.where(kept[first])
    start = chosen.start_ns.astype(np.float64)
    return Calls(
        column=(chosen.b >> 16) // stride,
        arrival_ns=start - np.where(chosen.flags & Flag.WAIT != 0, chosen.a, 0),
        block_ns=start,
        end_ns=chosen.end_ns.astype(np.float64),
    )


def longest(spans: Spans) -> int:
    """Return how many numbered calls there are on all groups, waits not counted again."""
    return int(np.count_nonzero((spans.kind == Kind.COLLECTIVE) & (spans.flags & Flag.WAIT == 0)))


def stride_for(calls: int, most: int) -> int:
    """Return the least stride that leaves at most ``most`` of ``calls``: one, or a prime.

    A step has some calls of each kind; a stride without a common factor with their number meets all of them.
    """
    stride = 1
    while calls > most * stride or any(stride % factor == 0 for factor in range(2, math.isqrt(stride) + 1)):
        stride += 1
    return stride


def timing_of(spans: Spans) -> tuple[float, float, int]:
    """Return DDP's own mean seconds of exchanging and of that beside computing, and how many passes it timed.

    Of several modules the one that exchanges longest. The first timing is left out where there are more: DDP
    times its first ten passes, when buckets and buffers are still being made.
    """
    timed = spans.of(Kind.DDP_TIMING)
    best = (0.0, 0.0, 0)
    for name in np.unique(timed.name):
        own = timed.where(timed.name == name)
        skip = 1 if len(own) > 2 else 0
        if not len(own):
            continue
        found = (float(own.a[skip:].mean()) / 1e9, float(own.b[skip:].mean()) / 1e9, len(own) - skip)
        best = max(best, found)
    return best


def settings_of(process: ProcessRecord) -> Mapping[str, Any]:
    """Return the settings of the DDP module with most gradients, empty without one."""
    told = [event.data for event in process.told("ddp")]
    return max(told, key=lambda data: float(data.get("bytes") or 0), default={})


def wire_factor(size: int) -> float:
    """Return how many times its bytes an all-reduce over ``size`` ranks puts on each rank's link.

    Source:
        2 (n - 1) / n of a ring, as in nccl-tests, doc/PERFORMANCE.md.
    """
    return 2.0 * (size - 1) / size if size > 1 else 0.0
