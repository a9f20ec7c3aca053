"""What a change would do to the step, by the name of the model that a mitigation asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isnan, sqrt

from ..model.finding import Basis, Interval
from ..model.measurement import Measurements
from .change import Change
from .estimate import UNKNOWN, Estimate, simulated
from .loader import MAX_WORKERS
from .measured import IN_LINE, Known, in_proportion
from .relief import less_often, shorter
from .simulator import Simulator
from .summary import replayable
from .walls import next_wall

__all__ = ["MODELS", "UNKNOWN", "Estimate", "Known", "Model", "Published", "Question", "estimate"]

Arguments = Mapping[str, "float | None"]

LEAST_LEFT = 0.01  # of a step that stays whatever is removed: no prediction beyond a hundredfold


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What the literature reports of a mitigation.

    Attributes:
        scope: What the factor speaks of: "phase", "step" or the whole training ("total").
        low: Least speed-up reported.
        high: Largest.
    """

    scope: str
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be predicted.

    Attributes:
        measurements: Of the run.
        arguments: The model's arguments, None where one could not be computed.
        bottleneck: What the change is to relieve.
        share: Share of the step that the bottleneck costs: what a phase is, and the bound of every gain.
        published: What the literature reports, where it may be shown.
        fewer_steps: The change cuts the number of steps; the share of a step is no bound then.
        phases: Phases that the arguments were made of.
        ends: The arguments at both ends of the intervals of what was called again.
        known: What taking the whole bottleneck away gained, where an experiment measured it.
    """

    measurements: Measurements
    arguments: Arguments
    bottleneck: str | None = None
    share: float | None = None
    published: Published | None = None
    fewer_steps: bool = False
    known: Known | None = None
    phases: tuple[str, ...] = ()
    ends: tuple[Arguments, Arguments] | None = None


def estimate(model: str, question: Question) -> Estimate:
    """Return what the model called ``model`` predicts; unknown where an input is missing.

    Raises:
        KeyError: There is no such model; ``MODELS`` has their names and arguments.
    """
    predicted = MODELS[model].predict(question)
    if question.fewer_steps or predicted.speedup is None or question.share is None:
        return predicted
    if question.known is not None and question.bottleneck in IN_LINE:
        predicted = in_proportion(
            predicted, _as_predicted(question, question.known, predicted), question.measurements
        )
    return _bounded(predicted, 1 / max(1 - question.share, LEAST_LEFT), question.measurements)


def _as_predicted(question: Question, known: Known, predicted: Estimate) -> Known:
    """Return ``known`` with the share that the whole bottleneck has in what ``predicted`` rests on.

    A replay already leaves out what hides behind something else: there its own share of the whole is what counts.
    """
    run = replayable(question.measurements)
    if run is None or predicted.change is None:
        return known
    whole = shorter(run, question.bottleneck, known.raw * run.workload.step_s)
    return known if whole is None else replace(known, raw=1 - run.ratio(whole))


def _bounded(predicted: Estimate, bound: float, measurements: Measurements) -> Estimate:
    """Return ``predicted`` with no gain above what taking the bottleneck away altogether gives."""
    assert predicted.speedup is not None
    low, likely, high = (
        min(value, bound)
        for value in (predicted.speedup.low, predicted.speedup.likely, predicted.speedup.high)
    )
    mean = measurements.number("step.mean_s")
    after = mean / likely if mean is not None and predicted.after_s is not None else None
    return replace(predicted, speedup=Interval(low=low, likely=likely, high=high), after_s=after)


def _remove(question: Question) -> Estimate:
    """``seconds`` of the step, or a ``fraction`` of it, go away, ``low`` to ``high`` times.

    By replay where that gives the run as it was: what hides behind something else gains nothing. Else by Amdahl's
    law. With ``persistent`` the replay lets workers live on, with ``once`` those of one loader for all epochs; the
    seconds stand in where there is none.
    """
    mean = question.measurements.number("step.mean_s")
    arguments = question.arguments
    seconds = arguments.get("seconds")
    if "seconds" not in arguments:
        part = arguments.get("fraction", 1.0)
        seconds = None if part is None or mean is None else part * mean
    low, high = arguments.get("low", 1.0), arguments.get("high", 1.0)
    if mean is None or seconds is None or low is None or high is None:
        return UNKNOWN
    saved = (seconds * low, seconds * (low + high) / 2, seconds * high)
    run = replayable(question.measurements)
    if run is not None and arguments.get("persistent") and run.workload.feeding is not None:
        stays = Change(persistent=True, once=bool(arguments.get("once")))
        return simulated(run, question.measurements, (stays, stays, stays))
    return _shortened(question, saved) or _less(question, mean, saved, "phase")


def _shortened(question: Question, saved: tuple[float, ...]) -> Estimate | None:
    """Return what a step ``saved`` (low, likely, high) seconds shorter gains; None where no simulation can tell."""
    run = replayable(question.measurements)
    if run is None:
        return None
    least, likely, most = (shorter(run, question.bottleneck, one, question.phases) for one in sorted(saved))
    if least is None or likely is None or most is None:
        return None
    return simulated(run, question.measurements, (least, likely, most))


def _again(question: Question) -> Estimate:
    """The step without the ``seconds`` that this run's operators saved when they were called again another way.

    The range is that of the measured savings; what hides behind something else gains nothing.
    """
    mean, seconds = question.measurements.number("step.mean_s"), question.arguments.get("seconds")
    if mean is None or seconds is None:
        return UNKNOWN
    ends = [end.get("seconds") for end in question.ends or ()]
    saved = tuple(sorted([seconds, *(end for end in ends if end is not None)]))
    three = (saved[0], seconds, saved[-1])
    found = _shortened(question, three) or _less(question, mean, three, "replay")
    return replace(found, basis="replay", saved_s=seconds)


def _amortise(question: Question) -> Estimate:
    """A stall of ``seconds`` every ``interval`` steps comes ``times`` as seldom."""
    mean = question.measurements.number("step.mean_s")
    seconds, interval, times = (question.arguments.get(name) for name in ("seconds", "interval", "times"))
    if mean is None or seconds is None or interval is None or times is None or interval <= 0 or times <= 0:
        return UNKNOWN
    run = replayable(question.measurements)
    change = None if run is None else _thinned(run, question, seconds / interval, times)
    if run is not None and change is not None:
        return simulated(run, question.measurements, (change, change, change))
    saved = seconds / interval * (1 - 1 / times)
    if isnan(saved):  # 0 times infinity: a factor beyond what floats hold
        return UNKNOWN
    return _less(question, mean, (saved, saved, saved), "phase")


def _thinned(run: Simulator, question: Question, per_step_s: float, times: float) -> Change | None:
    """Return the change that lets the question's phases come ``times`` as seldom, None where they do not fit."""
    return less_often(run, question.bottleneck, per_step_s, times, question.phases)


def _less(question: Question, mean: float, saved: tuple[float, ...], basis: Basis) -> Estimate:
    """Return the estimate of a step that is ``saved`` (low, likely, high) seconds shorter."""
    if mean <= 0:
        return UNKNOWN
    low, likely, high = (mean / max(mean - max(one, 0.0), mean * LEAST_LEFT) for one in sorted(saved))
    after = mean / likely
    return Estimate(
        speedup=Interval(low=low, likely=likely, high=high),
        basis=basis,
        after_s=after,
        next_wall=next_wall(question.measurements, question.bottleneck, mean - after),
    )


def _loader(question: Question) -> Estimate:
    """The loader with other settings, its CPU and blocked times scaled by ``cpu_factor`` and ``io_factor``."""
    arguments = question.arguments
    workers, persistent = arguments.get("workers"), arguments.get("persistent")
    cpu, io = arguments.get("cpu_factor", 1.0), arguments.get("io_factor", 1.0)
    if workers is None or cpu is None or io is None:
        return UNKNOWN
    count = max(0, min(int(workers), MAX_WORKERS))
    run = replayable(question.measurements)
    if run is None or run.workload.feeding is None:
        return _bracket(question, count, max(cpu, 0.0), max(io, 0.0))
    prefetch = arguments.get("prefetch")
    change = Change(
        workers=None if count == run.workload.feeding.workers else count,
        prefetch=None if prefetch is None else max(1, int(prefetch)),
        persistent=None if persistent is None else bool(persistent),
        cpu_factor=max(cpu, 0.0),
        io_factor=max(io, 0.0),
    )
    return simulated(run, question.measurements, (change, change, change))


def _bracket(question: Question, workers: int, cpu: float, io: float) -> Estimate:
    """Return the range between the chord and the bound of a convex step time (causal.md, 3.2).

    Making batches faster by a factor f gains at least (1 - 1/f) of what taking the wait away gains,
    and at most all of it. The starts of epochs are not part of that wait.
    """
    measurements = question.measurements
    mean, wait = measurements.number("step.mean_s"), measurements.number("input.wait_frac")
    now, busy = measurements.number("input.workers"), measurements.number("input.cpu_frac")
    if mean is None or wait is None or now is None:
        return UNKNOWN
    wait = max(0.0, wait - (measurements.number("input.epoch_gap_frac") or 0.0))
    share = 0.5 if busy is None else busy
    scaled = cpu if cpu == io else share * cpu + (1 - share) * io
    part = 1 - scaled * max(now, 1.0) / max(workers, 1)
    if part <= 0:
        return UNKNOWN
    low, high = part * wait * mean, wait * mean
    return _less(question, mean, (low, sqrt(low * high), high), "bracket")


def _literature(question: Question) -> Estimate:
    """The published range; of a phase by Amdahl's law on the bottleneck's share."""
    published = question.published
    if published is None or published.low <= 0 or published.high < published.low:
        return UNKNOWN
    factors = (published.low, sqrt(published.low * published.high), published.high)
    if published.scope == "phase":
        if question.share is None:
            return UNKNOWN
        share = question.share
        factors = tuple(1 / (1 - share + share / factor) for factor in factors)  # type: ignore[assignment]
    mean = question.measurements.number("step.mean_s")
    after = None if mean is None or question.fewer_steps else mean / factors[1]
    speedup = Interval(low=factors[0], likely=factors[1], high=factors[2])
    return Estimate(speedup=speedup, basis="literature", after_s=after)


def _none(question: Question) -> Estimate:
    """Nothing supports a figure."""
    return UNKNOWN


@dataclass(frozen=True, slots=True)
class Model:
    """A model: its function, the arguments it must have, and those it may have."""

    predict: Callable[[Question], Estimate]
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()


MODELS: Mapping[str, Model] = {
    "loader": Model(
        _loader, frozenset({"workers"}), frozenset({"cpu_factor", "io_factor", "prefetch", "persistent"})
    ),
    "remove": Model(
        _remove, frozenset(), frozenset({"seconds", "fraction", "low", "high", "persistent", "once"})
    ),
    "again": Model(_again, frozenset({"seconds"})),
    "amortise": Model(_amortise, frozenset({"seconds", "interval", "times"})),
    "literature": Model(_literature),
    "none": Model(_none),
}
