"""What limits the step once its present bottleneck is gone."""

from __future__ import annotations

from collections.abc import Mapping

from ..model.measurement import Measurements
from ..model.report import FAMILY_OF
from .change import Change, together
from .simulator import Simulator

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
NOTICED = 0.01  # of the step: less than this no measurement would show


def next_wall(measurements: Measurements, bottleneck: str | None, saved_s: float) -> str | None:
    """Return what takes most time of a step that spends ``saved_s`` seconds less on ``bottleneck``.

    By phases, for runs that are not simulated. None where no phase was timed.
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
    if largest == "compute" and _overhead(measurements, seconds[largest]):
        return None if bottleneck == "host_overhead" else "host_overhead"
    return largest


def limiter(run: Simulator, change: Change, measurements: Measurements) -> str | None:
    """Return what limits the step under ``change``: that without which the replay gets shortest.

    None where nothing that has a name would shorten it by a hundredth.
    """
    now, seconds = run.step_s(change), run.phase_s()
    gains = {
        name: now - run.step_s(together((change, without))) for name, without in _taken_away(run).items()
    }
    largest = max(gains, key=lambda name: gains[name], default="")
    if not largest or gains[largest] < NOTICED * now:
        return None
    if largest == "compute" and _overhead(measurements, seconds["forward"] + seconds["backward"]):
        return "host_overhead"
    return largest


def _taken_away(run: Simulator) -> dict[str, Change]:
    """Return for each bottleneck that a replay knows the change that takes it away."""
    seconds, phases = run.phase_s(), dict[str, list[str]]()
    for phase, name in BOTTLENECK_OF.items():
        if seconds[phase] > 0:
            phases.setdefault(name, []).append(phase)
    found = {name: Change(phases=tuple((phase, 0.0) for phase in sorted(phases[name]))) for name in phases}
    if run.on_device:  # the host issues what the device computes: each of the two may be the limit
        issuing = Change(phases=tuple((phase, 0.0) for phase in ("backward", "forward", "optimizer")))
        found |= {"compute": Change(device_factor=0.0), "host_overhead": issuing}
        found.pop("optimizer", None)
    if run.workload.feeding is not None:
        found["dataloader"] = Change(cpu_factor=0.0, io_factor=0.0, persistent=True, once=True)
    return found


def _overhead(measurements: Measurements, computing_s: float) -> bool:
    """Return whether a third and more of the computing goes into issuing operators."""
    dispatch = measurements.number("host.dispatch_s")
    return dispatch is not None and dispatch >= OVERHEAD * computing_s
