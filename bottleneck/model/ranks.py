"""What one rank did, condensed: enough to compare thousands of ranks without keeping their spans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Blocking collectives of one rank on one group that are matched with those of other ranks.

    Attributes:
        column: Number of the call on its group over the stride, int64, shape (n,).
        arrival_ns: When the rank entered the call, or launched it; its own monotonic clock, shape (n,).
        block_ns: When it began to wait, shape (n,): the same, later for asynchronous calls.
        end_ns: When the call let it go, shape (n,).
    """

    column: npt.NDArray[np.int64]
    arrival_ns: Floats
    block_ns: Floats
    end_ns: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class RankDigest:
    """One rank.

    Attributes:
        key: Name of its process's folder.
        rank: Its number, or None where nobody told it.
        local_rank: Its number on its host, or None.
        host: Name of its host.
        attempt: How often an elastic launcher had restarted the job.
        pid: Process id.
        world: Ranks there should be, or None.
        ended: The process came to an orderly end.
        start_ns: Its first step's start, on its own clock.
        last_ns: The end of its last step.
        clock_ns: Wall time minus monotonic time at its start: a first guess of its clock's offset.
        steps: Steps it took after the first.
        settled: First step that counts.
        step_s: Mean step.
        parts_s: Mean seconds per step by phase; they sum to ``step_s``.
        varies: Share of the variance of its own time that each phase explains.
        passes_alike: Share of the variance of forward and backward that both have in common, 0-1: near one where
            some batches are more work than others, near zero where the machine disturbs now one, now the other.
        heat_s: Its own time (step without communication) over the run, float32, shape (bins,).
        calls: Matched collectives by group.
        stride: One call in so many was kept.
        groups: What is known of each group: name, label, size, backend.
        volume: Per operation and group: calls and bytes per step and exposed seconds per step.
        exchange: DDP's own timing: seconds exchanging and of that beside computing, samples.
        ddp: Settings of the largest DistributedDataParallel module, empty without one.
        link: What it measured of the link between ranks, empty where it was not asked.
        exchanges: Gradient exchanges per step.
        micro_batches: Backward passes per step.
    """

    key: str
    rank: int | None
    local_rank: int | None
    host: str
    attempt: int
    pid: int
    world: int | None
    ended: bool
    start_ns: int
    last_ns: int
    clock_ns: int
    steps: int
    settled: int
    step_s: float
    parts_s: Mapping[str, float]
    varies: Mapping[str, float]
    heat_s: npt.NDArray[np.float32]
    passes_alike: float = 1.0
    calls: Mapping[str, Calls] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    volume: Mapping[tuple[str, str], tuple[float, float, float]] = field(default_factory=dict)
    exchange: tuple[float, float, int] = (0.0, 0.0, 0)
    ddp: Mapping[str, Any] = field(default_factory=dict)
    link: Mapping[str, Any] = field(default_factory=dict)
    stride: int = 1
    exchanges: float = 0.0
    micro_batches: float = 0.0

    @property
    def own_s(self) -> float:
        """Return its mean step without communication."""
        return self.step_s - self.parts_s.get("communication", 0.0)
