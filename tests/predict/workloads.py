"""Workloads for tests, from plain seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainbottleneck.model.report import PHASES
from trainbottleneck.model.workload import Feeding, Lane, Stall, Workload
from trainbottleneck.predict.simulator import Simulator


def lane(
    making_s: Sequence[float] = (),
    stalls: Sequence[Stall] = (),
    device_s: float = 0.0,
    steps: int = 40,
    **phases: float | Sequence[float],
) -> Lane:
    """Return a rank whose ``steps`` steps take these seconds per phase, the same in each or in turn."""
    turns = {name: (value,) if isinstance(value, float) else tuple(value) for name, value in phases.items()}
    rows = tuple(
        tuple(turns[phase][step % len(turns[phase])] if phase in turns else 0.0 for phase in PHASES)
        for step in range(steps)
    )
    return Lane(steps=rows, making_s=tuple(making_s), stalls=tuple(stalls), device_s=device_s)


def workload(*lanes: Lane, feeding: Feeding | None = None, **options: Any) -> Workload:
    """Return a workload whose measured step is what its replay gives, on more cores than it can use."""
    given: dict[str, Any] = {"step_s": 1.0, "count": 100, "cores": 64.0, **options}
    loose = Workload(lanes=lanes, feeding=feeding, **given)
    return Workload(lanes=lanes, feeding=feeding, **{**given, "step_s": Simulator(loose).step_s()})
