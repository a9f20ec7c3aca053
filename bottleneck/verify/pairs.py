"""From the two arms of a pair to one comparison: the same steps of both, and what the machine did meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..model.arm import Arm
from ..model.record import SystemSample
from ..model.trial import Change
from .disturbance import Surroundings
from .protocol import Result
from .warm_up import step_s, warm_up_s, warm_up_steps

_COMPILING = frozenset({"compile", "compile_optimizer"})
_FEWEST = 10  # steps left after warm-up: fewer are no measurement (causal.md (a))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The comparison of one pair.

    Attributes:
        warm: First step that counts, of both.
        last: The step after the last one.
        base_s: Seconds per step of the base.
        arm_s: Of the arm.
        longer_s: What the arm's start and warm-up took longer than the base's.
    """

    warm: int
    last: int
    base_s: float
    arm_s: float
    longer_s: float


def measure(base: Arm, arm: Arm, changes: Sequence[Change], queue: int, every: int = 1) -> Measured | None:
    """Return the steps that both arms have settled for, compared; None where one has not settled.

    Args:
        base: Without the changes.
        arm: With them.
        changes: What they are.
        queue: Batches the loader has ready before the first step.
        every: Steps after which something recurs: whole periods are compared where there is one.
    """
    compiles = any(one.override in _COMPILING for one in changes)
    ends = [one.ends_ns / 1e9 for one in (base, arm)]
    warm = [warm_up_steps(ends[0], queue=queue), warm_up_steps(ends[1], queue=queue, compiles=compiles)]
    last = min(len(one) for one in ends)
    if warm[0] is None or warm[1] is None or last - max(warm[0], warm[1]) < _FEWEST:
        return None
    first = max(warm[0], warm[1])
    if last - first > every:
        first = last - (last - first) // every * every
    times = [step_s(one, first, last) for one in ends]
    starts = [
        warm_up_s(one, which.start_ns / 1e9, first, time)
        for one, which, time in zip(ends, (base, arm), times, strict=True)
    ]
    return Measured(warm=first, last=last, base_s=times[0], arm_s=times[1], longer_s=starts[1] - starts[0])


def result(base: Arm, arm: Arm, changes: Sequence[Change], measured: Measured | None) -> Result:
    """Return what became of a pair, as the session wants it told."""
    return Result(
        seconds=base.seconds + arm.seconds,
        base_s=None if measured is None else measured.base_s,
        arm_s=None if measured is None else measured.arm_s,
        settled=measured is not None,
        base=None if measured is None else surroundings(base, measured),
        arm=None if measured is None else surroundings(arm, measured),
        base_failed=base.problem,
        arm_failed=arm.problem,
        refused=_refused(arm, changes),
    )


def _refused(arm: Arm, changes: Sequence[Change]) -> str:
    """Return why the arm is not what was to be tried, "" where it is: each change was made at least once."""
    made = {str(one.get("name")) for one in arm.applied}
    for change in changes:
        if change.override not in made:
            reasons = [str(one.get("detail", "")) for one in arm.told if one.get("name") == change.override]
            return "; ".join(dict.fromkeys(reasons)) or f"{change.override}: there was nothing to change"
    return ""


def surroundings(arm: Arm, measured: Measured) -> Surroundings:
    """Return what the machine did while the measured steps of an arm ran.

    Who had the cores is told for the whole life of the process: workers that come and go within an epoch are seen
    in no sample, but their CPU time is known in the end.
    """
    start, end = int(arm.ends_ns[measured.warm - 1]), int(arm.ends_ns[measured.last - 1])
    samples = _during(arm.system, start, end)
    if len(samples) < 2:
        return Surroundings(seconds=(end - start) / 1e9)
    between, whole = _span_s(samples), _span_s(arm.system)
    machine, always = [one.machine for one in samples], [one.machine for one in arm.system]
    rise, pressure = _riser(machine), _riser(always)("psi_cpu_some_s")
    return Surroundings(
        seconds=between,
        steal_frac=_mean(machine[1:], "steal_frac"),
        throttled_s=rise("throttled_s"),
        quota_cores=arm.quota_cores,
        heat_frac=_heat(samples),
        psi_cpu_frac=None if pressure is None else pressure / whole,
        busy_cores=_mean(always[1:], "cores_busy"),
        own_cores=None if arm.cpu_s is None else arm.cpu_s / arm.seconds,
        own_wait_frac=_most(samples, "run_queue_s") / between,
        swap_in_bytes=rise("swap_in_bytes"),
    )


def _span_s(samples: Sequence[SystemSample]) -> float:
    """Return the seconds from the first sample to the last."""
    return (samples[-1].time_ns - samples[0].time_ns) / 1e9


def _during(samples: Sequence[SystemSample], start: int, end: int) -> Sequence[SystemSample]:
    """Return the samples between two moments, and the ones next to them: a pair of short arms has few."""
    times = np.array([one.time_ns for one in samples], dtype=np.int64)
    first = max(0, int(np.searchsorted(times, start, side="right")) - 1)
    return samples[first : int(np.searchsorted(times, end)) + 1]


def _riser(machine: Sequence[Mapping[str, float]]) -> Callable[[str], float | None]:
    """Return a function that gives what a counter rose by, None where it is not there."""

    def rise(name: str) -> float | None:
        values = [one[name] for one in machine if name in one]
        return max(0.0, values[-1] - values[0]) if len(values) > 1 else None

    return rise


def _mean(machine: Sequence[Mapping[str, float]], name: str) -> float | None:
    """Return the mean of a reading, None where it is not there."""
    values = [one[name] for one in machine if name in one]
    return float(np.mean(values)) if values else None


def _heat(samples: Sequence[SystemSample]) -> float | None:
    """Return the share of samples in which heat held some GPU's clock back, None without a GPU."""
    read = [one.devices for one in samples if one.devices]
    if not read:
        return None
    return float(np.mean([any(device.get("throttle_thermal", 0) for device in each) for each in read]))


def _most(samples: Sequence[SystemSample], name: str) -> float:
    """Return the most that a counter rose by in one of the job's processes; where one began meanwhile, from zero."""
    first = samples[0].processes
    last = {
        pid: readings[name] for one in samples for pid, readings in one.processes.items() if name in readings
    }
    rises = [max(0.0, value - first.get(pid, {}).get(name, 0.0)) for pid, value in last.items()]
    return max(rises, default=0.0)
