"""The folder of one arm of a trial -> what it did."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..model.arm import Arm
from ..model.record import ProcessRecord
from ..model.span import Kind
from .processes import read
from .samples import NAME, load_samples


def load_arm(folder: Path, start_ns: int, seconds: float, cpu_s: float | None, problem: str) -> Arm:
    """Return what the processes below ``folder`` recorded.

    Args:
        folder: A run directory of a trial.
        start_ns: When its first process was started.
        seconds: How long it ran.
        cpu_s: CPU seconds of all its processes, None where not known.
        problem: Why it can't be used, as far as its end tells.
    """
    processes, _ = read(folder, [])
    trainer = max(processes, key=_steps, default=None)
    ends = _ends(trainer)
    if not problem and not len(ends):
        problem = "it took no optimizer step"
    samples = folder / NAME
    return Arm(
        start_ns=start_ns,
        ends_ns=ends,
        losses=_losses(trainer),
        told=tuple(event.data for process in processes for event in process.told("override")),
        pids=tuple(process.pid for process in processes),
        system=load_samples(samples)[0] if samples.is_file() else (),
        seconds=seconds,
        cpu_s=cpu_s,
        problem=problem,
    )


def _steps(process: ProcessRecord) -> tuple[int, int]:
    """Return how many optimizer steps a process took; of equals the one of the lowest rank comes first."""
    count = int(np.count_nonzero(process.spans.kind == Kind.OPTIMIZER))
    return count, -(process.rank or 0)


def _ends(process: ProcessRecord | None) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return when its optimizer steps ended, in order."""
    if process is None:
        return np.empty(0, dtype=np.int64)
    return np.sort(process.spans.end_ns[process.spans.kind == Kind.OPTIMIZER])


def _losses(process: ProcessRecord | None) -> tuple[tuple[int, float], ...]:
    """Return its losses in the order of their passes."""
    if process is None:
        return ()
    seen = process.spans.where(process.spans.kind == Kind.LOSS)
    order = np.argsort(seen.start_ns, kind="stable")
    values = seen.a[order].view(np.float64)
    return tuple(zip(seen.b[order].tolist(), values.tolist(), strict=True))
