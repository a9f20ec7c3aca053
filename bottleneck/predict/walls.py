"""What limits the step once its present bottleneck is gone."""

from __future__ import annotations

from collections.abc import Mapping

from ..model.measurement import Measurements
from ..model.report import FAMILY_OF

LIMIT_REACHED = 1.05  # a step within 5 % of the loop's own time is limited by the loop

BOTTLENECK_OF: Mapping[str, str] = {
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
}
OVERHEAD = 0.33  # of the computing, from which on it is overhead that limits: as in the host_overhead rule


def next_wall(measurements: Measurements, bottleneck: str | None, saved_s: float) -> str | None:
    """Return what takes most time of a step that spends ``saved_s`` seconds less on ``bottleneck``.

    None where no phase was timed.
    """
    seconds: dict[str, float] = {}
    for phase, name in BOTTLENECK_OF.items():
        seconds[name] = seconds.get(name, 0.0) + (measurements.number(f"step.{phase}_s") or 0.0)
    relieved = "dataloader" if FAMILY_OF.get(bottleneck or "") == "input" else bottleneck
    if relieved == "host_overhead":
        relieved = "compute"
    if relieved in seconds:
        seconds[relieved] -= saved_s
    largest = max(seconds, key=lambda name: seconds[name])
    if seconds[largest] <= 0:
        return None
    dispatch = measurements.number("host.dispatch_s")
    if largest == "compute" and dispatch is not None and dispatch >= OVERHEAD * seconds[largest]:
        return None if bottleneck == "host_overhead" else "host_overhead"
    return largest
