"""What a change would gain, with its range and what limits the step afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..model.finding import Basis, Interval
from ..model.measurement import Measurements
from .change import NOTHING, Change, together
from .simulator import TRUSTED, Simulator
from .summary import replayable
from .walls import limiter

_UNSEEN = TRUSTED / 2  # errors anywhere within the 5 % that are let pass are half of it on average
_WHOLE = 0.25  # share of the step that has to change for the replay's error to count in full
_MORE_CPU = (
    0.34  # CPU time per batch grows with this power of the workers: 53 % from 8 to 28 (Lotus, IISWC 2024)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a change would gain.

    Attributes:
        speedup: Old over new time; None where nothing supports a figure.
        basis: Where it comes from.
        after_s: Likely mean step afterwards, in seconds; None where unknown or where steps keep their length.
        next_wall: The bottleneck that limits the step afterwards, where the model can tell.
        change: What was simulated; None where nothing was.
        saved_s: What the run's operators saved when called again that way, negative where it took longer; else None.
    """

    speedup: Interval | None
    basis: Basis
    after_s: float | None = None
    next_wall: str | None = None
    change: Change | None = None
    saved_s: float | None = None


UNKNOWN = Estimate(speedup=None, basis="unknown")


def what_if(measurements: Measurements, change: Change) -> Estimate:
    """Return what ``change`` would do to the step; unknown where the run can not be reproduced within 5 %."""
    run = replayable(measurements)
    return UNKNOWN if run is None else simulated(run, measurements, (change, change, change))


def combine(measurements: Measurements, changes: Sequence[Change]) -> Estimate:
    """Return what all ``changes`` would do at once, simulated together; gains of each are never added."""
    return what_if(measurements, together(changes))


def simulated(run: Simulator, measurements: Measurements, changes: tuple[Change, Change, Change]) -> Estimate:
    """Return the estimate for a change that does at least, likely and at most what the three say.

    The range is that of the three, widened by how far another run of the same training could lie from this one (a
    bootstrap over the measured times), and by what the replay may have wrong: the error it showed on the run as it
    was, or half of what would have been let pass, put on the time to make batches and on what changes.
    """
    likely = changes[1]
    ratios = [run.ratio(change) for change in changes]
    seen = [*ratios, *_doubted(run, likely)]
    error = run.spread(likely) + _error(run) * min(1.0, abs(1 - ratios[1]) / _WHOLE)
    mean = measurements.number("step.mean_s") or run.workload.step_s + run.workload.beside_s
    beside = min(run.workload.beside_s, mean)

    def after(ratio: float) -> float:
        return max((mean - beside) * ratio + beside, mean * 0.01)

    fast = max(min(seen) - error, min(min(ratios), _least(run, likely)))
    slow = max(seen) + error
    if max(ratios) <= 1 and likely.workers is None:
        slow = min(slow, 1.0)  # less work at unchanged settings is never slower
    return Estimate(
        speedup=Interval(low=mean / after(slow), likely=mean / after(ratios[1]), high=mean / after(fast)),
        basis="simulation",
        after_s=after(ratios[1]),
        next_wall=limiter(run, likely, measurements),
        change=likely,
    )


def _error(run: Simulator) -> float:
    """Return the relative error to expect of a replay of something that was not measured."""
    return max(abs(run.reproduction_err), _UNSEEN)


def _doubted(run: Simulator, change: Change) -> list[float]:
    """Return the ratios for a loader that is a little slower or faster than measured, and for workers that share more.

    They differ where loader and loop are close to each other, so that a small error decides which one waits.
    """
    feeding = run.workload.feeding
    if feeding is None or change == NOTHING:
        return []
    found = []
    for factor in (1 - _error(run), 1 + _error(run)):
        doubt = Change(cpu_factor=factor, io_factor=factor)
        found.append(run.step_s(together((change, doubt))) / run.step_s(doubt))
    if change.workers is not None and change.workers > max(1, feeding.workers):
        more = (change.workers / max(1, feeding.workers)) ** _MORE_CPU
        found.append(run.ratio(replace(change, cpu_factor=change.cpu_factor * more)))
    return found


def _least(run: Simulator, change: Change) -> float:
    """Return the ratio that nothing done to the loader gets below; 0 for a change of the loop itself."""
    if change.phases or change.seldom or change.overlap or change.device_factor != 1:
        return 0.0
    return run.ratio(Change(cpu_factor=0.0, io_factor=0.0, persistent=True, once=True))
