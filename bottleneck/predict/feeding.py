"""What other settings of the loader, or batches that take less to make, would do to the step."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

from ..model.finding import Interval
from .change import Change
from .estimate import UNKNOWN, Estimate, simulated
from .loader import MAX_WORKERS
from .measured import Known, in_proportion
from .question import LEAST_LEFT, Question, less
from .simulator import Simulator
from .summary import replayable
from .unhurried import NARROW, unhurried

_Factors = tuple[float, float, float]  # of the CPU time of a batch that is left: most, likely, least


def loader(question: Question) -> Estimate:
    """The loader with other settings, its CPU and blocked times scaled by ``cpu_factor`` and ``io_factor``.

    Or of its CPU time the fraction ``cpu_gone`` goes, ``low`` to ``high`` times.
    """
    arguments = question.arguments
    workers, io, cpu = arguments.get("workers"), arguments.get("io_factor", 1.0), _cpu_left(question)
    if workers is None or cpu is None or io is None:
        return UNKNOWN
    count, io = max(0, min(int(workers), MAX_WORKERS)), max(io, 0.0)
    run = replayable(question.measurements)
    if run is None or run.workload.feeding is None:
        return _bracket(question, count, cpu, io)
    change = _settings(question, count, run.workload.feeding.workers)
    least, likely, most = (replace(change, cpu_factor=left, io_factor=io) for left in cpu)
    predicted = simulated(run, question.measurements, (least, likely, most))
    if change != Change():
        return unhurried(predicted, run, question.measurements, (least, likely, most))
    return _lighter(question, run, predicted) or _bracket(question, count, cpu, io)


def _cpu_left(question: Question) -> _Factors | None:
    """Return what is left of the CPU time of a batch: at most, likely, at least; None where it could not be told."""
    arguments = question.arguments
    factor = arguments.get("cpu_factor", 1.0)
    if "cpu_gone" not in arguments:
        return None if factor is None else (max(factor, 0.0),) * 3
    gone, low, high = arguments["cpu_gone"], arguments.get("low", 1.0), arguments.get("high", 1.0)
    if gone is None or low is None or high is None:
        return None
    most, likely, least = (max(0.0, 1 - gone * part) for part in (low, (low + high) / 2, high))
    return most, likely, least


def _settings(question: Question, workers: int, now: int) -> Change:
    """Return the change of the loader's settings alone."""
    prefetch, persistent = question.arguments.get("prefetch"), question.arguments.get("persistent")
    return Change(
        workers=None if workers == now else workers,
        prefetch=None if prefetch is None else max(1, int(prefetch)),
        persistent=None if persistent is None else bool(persistent),
    )


def _lighter(question: Question, run: Simulator, predicted: Estimate) -> Estimate | None:
    """Return ``predicted`` of batches that take less to make, scaled to what the step without them measured.

    A replay knows of queues and of shares of cores. The threads of a model meet at the end of every operator, and lose
    more than their share to a worker: on two cores, beside one, a step was 36 % shorter without it where shares say
    15 %. None where the replay has batches cost nothing, though they do: then there is nothing to scale.
    """
    found = question.measurements.get("ceiling.input_frac")
    if found is None or found.interval is None:
        return predicted
    whole = 1 - run.ratio(Change(cpu_factor=0.0, io_factor=0.0))
    # What the sampler takes goes with the loader, but stays where its batches only get cheaper.
    drawn = question.measurements.number("input.sampler_frac") or 0.0
    low, cost, high = (
        max(0.0, share - drawn) for share in (found.interval[0], found.value, found.interval[1])
    )
    if low <= whole <= high or high - low > NARROW:
        return predicted
    if whole < LEAST_LEFT:
        return None
    known = Known(raw=whole, cost=Interval(low=low, likely=cost, high=high))
    return in_proportion(predicted, known, question.measurements)


def _bracket(question: Question, workers: int, cpu: _Factors, io: float) -> Estimate:
    """Return the range between the chord and the bound of a convex step time (causal.md, 3.2).

    Making batches faster by a factor f gains at least (1 - 1/f) of what taking the wait away gains, and at most all of
    it; the same holds of what they cost by experiment. The starts of epochs are not part of it.
    """
    measurements = question.measurements
    mean, wait = measurements.number("step.mean_s"), _cost(question, workers)
    now, busy = measurements.number("input.workers"), measurements.number("input.cpu_frac")
    if mean is None or wait is None or now is None:
        return UNKNOWN
    share = 0.5 if busy is None else busy
    faster = max(now, 1.0) / max(workers, 1)
    least, likely, most = (max(0.0, 1 - (share * left + (1 - share) * io) * faster) for left in cpu)
    if most <= 0:
        return UNKNOWN
    high = wait * mean
    return less(question, mean, (least * high, sqrt(likely) * high, high), "bracket")


def _cost(question: Question, workers: int) -> float | None:
    """Return the share of the step that batches cost; the wait alone where the number of workers is to change."""
    number = question.measurements.number
    gap, drawn = number("input.epoch_gap_frac") or 0.0, number("input.sampler_frac") or 0.0
    cost, wait = number("input.cost_frac"), number("input.wait_frac")
    if cost is not None and number("input.workers") == workers:
        return max(0.0, cost - gap)
    return None if wait is None else max(0.0, wait - gap - drawn)
