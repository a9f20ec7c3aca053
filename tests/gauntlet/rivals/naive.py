"""What one reads off a plain chart: the largest phase, or the largest row of torch.profiler's table.

Both are read from what our own run measured, so neither pays for a worse measurement: they differ from a diagnosis
only in what they make of it. Neither can call a training healthy, something is always the largest.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

OF_PHASE = {
    "data_wait": "dataloader",
    "h2d": "h2d_transfer",
    "forward": "compute",
    "backward": "compute",
    "optimizer": "optimizer",
    "communication": "communication",
    "sync": "sync",
    "checkpoint": "checkpoint",
    "evaluation": "evaluation",
    "logging": "logging",
    "gc": "gc",
    "other": "host_overhead",
}
# How the rows of torch.profiler's table begin, without "aten::"; the first that fits. Any other row is arithmetic.
OF_OPERATOR = (
    ("enumerate(DataLoader)", "dataloader"),
    ("Optimizer.", "optimizer"),
    ("_fused_", "optimizer"),  # _fused_adamw_ and its like; nothing else is fused under that name
    ("_foreach_", "optimizer"),
    ("_local_scalar_dense", "sync"),  # what .item() comes down to
    ("item", "sync"),
    ("nonzero", "sync"),
    ("cudaStreamSynchronize", "sync"),
    ("cudaDeviceSynchronize", "sync"),
    ("Memcpy HtoD", "h2d_transfer"),
    ("c10d::", "communication"),
    ("gloo:", "communication"),
    ("nccl:", "communication"),
    ("DistributedDataParallel", "communication"),
)
_SHOWN = ("cpu_op", "user_annotation", "cuda_runtime")  # categories of a trace that are rows of the table


class Claim(NamedTuple):
    """The bottleneck one would name, the share of a step one would promise, and the bar or row that was read."""

    bottleneck: str
    share: float
    read: str


def largest_phase(report: Mapping[str, Any]) -> Claim | None:
    """Return what the largest phase of the mean step says; None where the report has no steps."""
    phases = (report.get("step") or {}).get("phases") or ()
    largest = max(phases, key=lambda phase: phase["share"], default=None)
    if largest is None or not largest["share"]:
        return None
    return Claim(OF_PHASE.get(largest["phase"], "host_overhead"), largest["share"], largest["phase"])


def largest_operator(events: Iterable[Mapping[str, Any]]) -> Claim | None:
    """Return what the first row of torch.profiler's table, by its own time on the CPU, says; None without rows."""
    rows = self_times(events)
    if not rows:
        return None
    name = max(rows, key=rows.__getitem__)
    return Claim(_of_operator(name), rows[name] / sum(rows.values()), name)


def self_times(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the own time of each row of the table, in microseconds: without that of what it called."""
    threads: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if event.get("ph") == "X" and event.get("cat") in _SHOWN and _counts(event["name"]):
            threads[event.get("tid")].append(event)
    rows: dict[str, float] = defaultdict(float)
    for thread in threads.values():
        for name, own in _own(thread):
            rows[name] += own
    return dict(rows)


def traced(run: Path) -> list[Mapping[str, Any]]:
    """Return the events of the trace that a run's deep window left, of its first process; none where it has none."""
    for path in sorted((run / "deep").glob("trace-*.json.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return list(json.load(file)["traceEvents"])
    return []


def _counts(name: str) -> bool:
    """Tell whether a row is one of the script's: not our mark at the edge of a step, nor the profiler's."""
    return not name.startswith(("bottleneck#", "ProfilerStep#"))


def _own(thread: list[Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """Yield each event of one thread with its own time."""
    open_: list[list[Any]] = []  # name, end, own time; the innermost last
    for event in sorted(thread, key=lambda one: (one["ts"], -one["dur"])):
        while open_ and open_[-1][1] <= event["ts"]:
            yield _row(open_.pop())
        if open_:
            open_[-1][2] -= event["dur"]
        open_.append([event["name"], event["ts"] + event["dur"], event["dur"]])
    yield from (_row(entry) for entry in open_)


def _row(entry: list[Any]) -> tuple[str, float]:
    return entry[0], max(0.0, entry[2])


def _of_operator(name: str) -> str:
    bare = name.removeprefix("aten::")
    return next((leaf for start, leaf in OF_OPERATOR if bare.startswith(start)), "compute")
