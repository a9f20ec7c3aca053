"""How many loader workers this run can use."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from ..model.measurement import Measurements
from .change import Change
from .simulator import TRUSTED, Simulator
from .summary import replayable

AS_GOOD = 0.01  # of the step: fewer workers that are this little slower are as good, and cost less memory
_PER_CORE = 0.25  # CPU share counted for a worker at least: four to a core, then memory and disk queues limit
_SPARE = 1.3  # workers beyond the mean rate, because batch times vary
_MOST = 64  # workers tried at most
_FREE = 0.8  # of the memory that is available may go to workers: beyond, the page cache starts to shrink


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The number of workers to use.

    Attributes:
        workers: The number.
        step_s: Mean step with it, as simulated; None where the run could not be reproduced.
    """

    workers: int
    step_s: float | None = None


def best_workers(measurements: Measurements) -> Best | None:
    """Return the fewest workers that come within a hundredth of the shortest step.

    Searched by simulation up to what cores and memory hold; by the rates of loader and loop where the run can not
    be reproduced. None where the time to make a batch, the rest of the step or the cores are unknown.
    """
    room = _room(measurements)
    if room is None:
        return None
    run = replayable(measurements)
    if run is not None and run.workload.feeding is not None:
        return _searched(run, room)
    batch, busy = measurements.number("input.batch_s"), measurements.number("step.busy_s")
    if not batch or not busy:
        return None
    return Best(workers=min(ceil(_SPARE * batch / busy), room))


def _searched(run: Simulator, room: int) -> Best:
    """Return the best of all numbers up to ``room``.

    Of workers that live on, and were batches to take as much longer as the replay may be wrong.
    """
    feeding = run.workload.feeding
    now = feeding.workers if feeding else 0
    counts = sorted({*range(min(room, _MOST) + 1), min(now, _MOST)})
    longer = 1 + TRUSTED
    worse = {
        count: Change(workers=count, persistent=True, cpu_factor=longer, io_factor=longer) for count in counts
    }
    steps = {count: run.step_s(change) for count, change in worse.items()}
    limit = min(steps.values()) * (1 + AS_GOOD)
    fewest = next(count for count in counts if steps[count] <= limit)
    return Best(workers=fewest, step_s=run.step_s(Change(workers=fewest, persistent=True)))


def _room(measurements: Measurements) -> int | None:
    """Return how many workers cores and memory hold, None where the cores are unknown."""
    cores, busy = measurements.number("host.usable_cores"), measurements.number("input.cpu_frac")
    if cores is None or busy is None:
        return None
    room = floor(cores / max(busy, _PER_CORE))
    workers, held = measurements.number("input.workers"), measurements.number("host.workers_rss_bytes")
    free = measurements.number("host.memory_available_bytes")
    if workers and held and free is not None:
        room = min(room, int(workers + _FREE * free / (held / workers)))
    return max(room, 0)
