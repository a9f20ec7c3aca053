"""The run as a simulator sees it: from its own times, or from means where those are all there is."""

from __future__ import annotations

from ..model.measurement import Measurements
from ..model.report import PHASES
from ..model.workload import Feeding, Lane, Stall, Workload
from .loader import MAX_WORKERS, service_times
from .simulator import Simulator, simulator

_CV_UNKNOWN = (
    0.3  # spread of batch times where none was measured: between images (0.05-0.11) and detection (0.67)
)
_PREFETCH = 2  # torch's default
_RARE = ("checkpoint", "evaluation")


def replayable(measurements: Measurements) -> Simulator | None:
    """Return the simulator of the run if its replay gives the measured step within 5 %, else None."""
    found = simulated_run(measurements)
    return found if found is not None and found.trusted else None


def simulated_run(measurements: Measurements) -> Simulator | None:
    """Return the simulator of the run, trusted or not; None where too little of it was measured."""
    workload = measurements.workload or summarised(measurements)
    return None if workload is None or workload.step_s <= 0 else simulator(workload)


def summarised(measurements: Measurements) -> Workload | None:
    """Return a workload of the means alone, or None where there is no loader or a part of it was not measured."""
    number = measurements.number
    mean, wait, workers = number("step.mean_s"), number("step.data_wait_s"), number("input.workers")
    batch, cpu = number("input.batch_s"), number("input.batch_cpu_s")
    if mean is None or wait is None or workers is None or not batch or cpu is None or mean <= 0:
        return None
    blocked = number("input.batch_blocked_s")
    io = min(max(0.0, batch - cpu) if blocked is None else blocked, batch)
    epoch, gap = number("input.steps_per_epoch"), number("input.epoch_gap_s")
    told = bool(epoch and gap)  # else the starts of epochs stay beside what is replayed
    starts = 0.0 if told else mean * min(0.99, number("input.epoch_gap_frac") or 0.0)
    draw_s, batches = number("input.sampler_s") or 0.0, max(1, round(number("step.micro_batches") or 1.0))
    lane = Lane(
        steps=(_mean_step(measurements, mean - wait),),
        making_s=service_times(batch, _or(number("input.batch_cv_frac"), _CV_UNKNOWN)),
        draw_s=draw_s * batches,
        stalls=tuple(stall for name in _RARE if (stall := _stall(measurements, name)) is not None),
    )
    feeding = Feeding(
        workers=min(int(workers), MAX_WORKERS),
        prefetch=max(1, int(number("input.prefetch_factor") or _PREFETCH)),
        persistent=bool(number("input.persistent_workers")),
        renewed_frac=number("input.renewed_frac") or 0.0,
        blocked_frac=io / batch,
        receive_s=max(0.0, (number("input.receive_s") or 0.0) - draw_s) if workers else 0.0,
        batches=batches,
        epoch_steps=epoch if told else None,
        start_s=max(0.0, (gap or 0.0) - (batch if workers else 0.0)) if told else 0.0,
    )
    return Workload(
        lanes=(lane,),
        step_s=mean - starts,
        count=measurements["step.mean_s"].samples,
        feeding=feeding,
        cores=_or(number("host.usable_cores"), 1.0),
        loop_cores=_or(number("compute.cores"), 1.0),
        beside_s=starts,
    )


def _mean_step(measurements: Measurements, own_s: float) -> tuple[float, ...]:
    """Return the mean seconds per phase; what no phase has of the loop's ``own_s`` is other."""
    seconds = {phase: measurements.number(f"step.{phase}_s") or 0.0 for phase in PHASES}
    seconds["data_wait"] = seconds["other"] = 0.0
    seconds["other"] = max(0.0, own_s - sum(seconds.values()))
    for phase in _RARE:
        if _stall(measurements, phase) is not None:
            seconds[phase] = 0.0
    return tuple(seconds.values())


def _stall(measurements: Measurements, phase: str) -> Stall | None:
    """Return the phase as something that comes every few steps, where that was measured."""
    per_step, interval = (
        measurements.number(f"step.{phase}_s"),
        measurements.number(f"{phase}.interval_steps"),
    )
    if not per_step or not interval or interval <= 1:
        return None
    return Stall(phase=phase, seconds=(per_step * interval,), interval=interval)


def _or(value: float | None, instead: float) -> float:
    """Return ``value``, or ``instead`` where it was not measured."""
    return instead if value is None else value
