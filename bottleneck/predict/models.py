"""What a change would do to the step, by the name of the model that a mitigation asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isnan, sqrt

from ..model.finding import Interval
from ..model.measurement import Measurements
from .change import Change
from .estimate import UNKNOWN, Estimate, simulated
from .feeding import loader
from .measured import IN_LINE, Known, in_proportion
from .question import LEAST_LEFT, Published, Question, less
from .relief import less_often, shorter
from .simulator import Simulator
from .summary import replayable

__all__ = ["MODELS", "UNKNOWN", "Estimate", "Known", "Model", "Published", "Question", "estimate"]


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
    return _shortened(question, saved) or less(question, mean, saved, "phase")


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
    found = _shortened(question, three) or less(question, mean, three, "replay")
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
    return less(question, mean, (saved, saved, saved), "phase")


def _thinned(run: Simulator, question: Question, per_step_s: float, times: float) -> Change | None:
    """Return the change that lets the question's phases come ``times`` as seldom, None where they do not fit."""
    return less_often(run, question.bottleneck, per_step_s, times, question.phases)


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
        loader,
        frozenset({"workers"}),
        frozenset({"cpu_factor", "io_factor", "cpu_gone", "low", "high", "prefetch", "persistent"}),
    ),
    "remove": Model(
        _remove, frozenset(), frozenset({"seconds", "fraction", "low", "high", "persistent", "once"})
    ),
    "again": Model(_again, frozenset({"seconds"})),
    "amortise": Model(_amortise, frozenset({"seconds", "interval", "times"})),
    "literature": Model(_literature),
    "none": Model(_none),
}
