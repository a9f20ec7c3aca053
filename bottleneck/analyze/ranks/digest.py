"""One rank's record -> what is kept of it for the comparison of ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ...model.ranks import RankDigest
from ...model.record import ProcessRecord
from ...model.report import PHASES
from ...model.span import Kind, Spans
from ..boundaries import find_boundaries
from ..nesting import outermost
from ..phases import COLUMN, COLUMNS, column_of
from ..trainer import Trainer, find_trainers
from . import exchange, link

Ints = npt.NDArray[np.int64]

BINS = 48  # points over the run in the heat map: wider than most screens leave for it
MOST_CALLS = 4096  # matched calls kept of one rank
_WARM = 5  # steps that count in no run, as in steady.py; of long runs a tenth
_KEPT = len(PHASES)


def digest(process: ProcessRecord, most: int = MOST_CALLS, stride: int | None = None) -> RankDigest | None:
    """Return what is kept of a rank, or None where the process took fewer than two steps.

    Args:
        process: Its record.
        most: Matched calls to keep.
        stride: Keep every so many calls of each group; None to choose it from ``most``.
    """
    trainers = find_trainers([process])
    boundaries = find_boundaries(trainers[0].spans) if trainers else None
    if boundaries is None or len(boundaries.ends_ns) < 3:
        return None
    return _digest(trainers[0], boundaries.ends_ns, most, stride)


def _digest(trainer: Trainer, ends: Ints, most: int, stride: int | None) -> RankDigest:
    """Return the digest of a rank whose steps end at ``ends``; the first one is not looked at."""
    process, spans = trainer.process, trainer.spans
    parts = _parts(spans, ends)
    settled = min(max(_WARM, len(parts) // 10), len(parts) // 2)
    whole = parts[settled:, :_KEPT] / 1e9
    mean = whole.mean(axis=0)
    own = whole.sum(axis=1) - whole[:, COLUMN["communication"]]
    count, kept = len(parts) - settled, int(ends[settled])
    groups = exchange.groups_of(process)
    own_spans = spans.where((spans.start_ns >= kept) & (spans.start_ns < ends[-1]))
    chosen = stride or exchange.stride_for(exchange.longest(own_spans), most)
    calls, volume = exchange.calls_of(own_spans, groups, count, chosen)
    header = process.header
    return RankDigest(
        key=process.key,
        rank=process.rank,
        local_rank=_first(_told(header), "LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK"),
        host=str(header.get("host", "")),
        attempt=_integer(_told(header).get("TORCHELASTIC_RESTART_COUNT")) or 0,
        pid=process.pid,
        world=_world(header, groups),
        ended=bool(process.told("exit")),
        start_ns=int(ends[0]),
        last_ns=int(ends[-1]),
        clock_ns=_clock(header),
        steps=len(parts),
        settled=settled,
        step_s=float(mean.sum()),
        parts_s={phase: float(mean[number]) for number, phase in enumerate(PHASES) if mean[number] > 0},
        varies=_varies(whole, own),
        passes_alike=_alike(whole[:, COLUMN["forward"]], whole[:, COLUMN["backward"]]),
        heat_s=_heat(parts[:, :_KEPT]),
        calls=calls,
        stride=chosen,
        groups={group.key: group.facts for group in groups.values()},
        volume=volume,
        exchange=exchange.timing_of(process.spans),
        ddp=exchange.settings_of(process),
        link=link.told(process),
        exchanges=sum(each[0] for (name, _), each in volume.items() if name == exchange.DDP),
        micro_batches=float(np.count_nonzero(outermost(own_spans, Kind.BACKWARD))) / max(1, count),
    )


def _parts(spans: Spans, ends: Ints) -> Ints:
    """Return ns per step and column, by each span's own time (what lies inside it taken off); rows sum to the step."""
    step = np.searchsorted(ends, spans.start_ns, side="right") - 1
    inside = (step >= 0) & (step < len(ends) - 1)
    cell = step[inside] * len(COLUMNS) + column_of(spans.kind[inside])
    sums = np.bincount(cell, weights=_self_ns(spans)[inside], minlength=(len(ends) - 1) * len(COLUMNS))
    parts = sums.reshape(len(ends) - 1, len(COLUMNS)).astype(np.int64)
    rest = np.diff(ends) - parts.sum(axis=1)
    parts[:, COLUMN["other"]] += rest + parts[:, COLUMN["compile"]]
    parts[:, COLUMN["other"]] = np.maximum(parts[:, COLUMN["other"]], 0)  # a pass that outlasts its step
    return parts


def _self_ns(spans: Spans) -> npt.NDArray[np.float64]:
    """Return each span's duration without the spans directly inside it; spans are in order, outer first."""
    starts, ends = spans.start_ns.tolist(), spans.end_ns.tolist()
    taken = [0] * len(starts)
    holders: list[int] = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        while holders and ends[holders[-1]] <= start:
            holders.pop()
        if holders:
            taken[holders[-1]] += end - start
        holders.append(number)
    own: npt.NDArray[np.float64] = np.maximum(spans.end_ns - spans.start_ns - np.array(taken, np.int64), 0)
    return own


def _varies(whole: npt.NDArray[np.float64], own: npt.NDArray[np.float64]) -> Mapping[str, float]:
    """Return the share of the variance of a rank's own time that goes with each phase; they sum to one."""
    centred = own - own.mean()
    variance = float(centred @ centred)
    if variance <= 0:
        return {}
    shares = (whole - whole.mean(axis=0)).T @ centred / variance
    return {
        phase: float(shares[number])
        for number, phase in enumerate(PHASES)
        if phase != "communication" and shares[number]
    }


def _alike(forward: npt.NDArray[np.float64], backward: npt.NDArray[np.float64]) -> float:
    """Return the squared correlation of two phases over the steps; 1 where one of them never varies."""
    if forward.std() == 0 or backward.std() == 0:
        return 1.0
    return float(max(0.0, np.corrcoef(forward, backward)[0, 1]) ** 2)


def _heat(parts: Ints) -> npt.NDArray[np.float32]:
    """Return the mean own time of the steps in each of ``BINS`` equal stretches; NaN where there is no step."""
    own = (parts.sum(axis=1) - parts[:, COLUMN["communication"]]) / 1e9
    stretch = np.arange(len(own)) * BINS // len(own)
    sums = np.bincount(stretch, weights=own, minlength=BINS)
    counts = np.bincount(stretch, minlength=BINS)
    with np.errstate(invalid="ignore"):
        heat: npt.NDArray[np.float32] = (sums / np.where(counts, counts, np.nan)).astype(np.float32)
    return heat


def _told(header: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the rank variables of a header."""
    told = header.get("ranks")
    return told if isinstance(told, dict) else {}


def _world(header: Mapping[str, Any], groups: Mapping[int, exchange.Group]) -> int | None:
    """Return how many ranks there should be: by the world's group, else by the launcher's variables."""
    told = [int(group.facts["size"]) for group in groups.values() if group.facts.get("world")]
    names = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
    return told[0] if told else _first(_told(header), *names)


def _first(variables: Mapping[str, Any], *names: str) -> int | None:
    """Return the first of the variables that is set, as an int."""
    return next((_integer(variables[name]) for name in names if name in variables), None)


def _clock(header: Mapping[str, Any]) -> int:
    """Return wall time minus monotonic time, 0 where they are not known."""
    wall, monotonic = header.get("wall_ns"), header.get("monotonic_ns")
    return int(wall - monotonic) if isinstance(wall, int) and isinstance(monotonic, int) else 0


def _integer(value: Any) -> int | None:
    """Return ``value`` as an int, None where it is none."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
