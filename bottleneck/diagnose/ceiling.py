"""What a rule's bottleneck costs by experiment: the step with its resource taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .. import units
from ..model.finding import ALIKE, Basis
from ..model.measurement import Measurement, Measurements
from .rule import BottleneckRule

# What is taken away to see what a bottleneck costs (verify/plan.py); what nothing stands for is not here.
RESOURCE: Mapping[str, str] = {
    "dataloader": "input",
    "cpu_preprocessing": "input",
    "storage": "input",
    "h2d_transfer": "transfer",
    "logging": "logging",
    "checkpoint": "checkpoint",
    "evaluation": "evaluation",
    "gc": "gc",
    "sync": "sync",
    "communication": "collectives",
}
# What only one rule speaks of, and no phase shows.
_OF_RULE: Mapping[str, str] = {"anomaly_detection": "anomaly"}
_IT: Mapping[str, str] = {
    "input": "Without making and waiting for batches",
    "transfer": "Without copying batches to the device",
    "logging": "Without calls of loggers",
    "checkpoint": "Without checkpoints",
    "evaluation": "Without evaluating",
    "gc": "Without garbage collection",
    "sync": "Without the script's own waits for the device",
    "collectives": "Without exchanging gradients",
    "anomaly": "Without anomaly detection",
}
_NARROW = 2 * ALIKE  # width of the interval: shares within it are alike
_CLEAR = 0.10  # a cause that no phase shows is believed if taking it away gains what makes a bottleneck


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What taking a resource away says of one rule's bottleneck.

    Attributes:
        share: The fraction of the step that the bottleneck costs.
        interval: Its 95 % interval; where a phase was only slowed down, from nothing to the most it can be.
        basis: ``ceiling``, or ``bracket`` where the resource was slowed down for want of a way to do without.
        clear: The whole resource costs a tenth of the step at least, whatever its interval leaves open.
        text: The experiment in one sentence.
    """

    share: float
    interval: tuple[float, float]
    basis: Basis
    clear: bool
    text: str


def resource_of(rule: BottleneckRule) -> str | None:
    """Return what is taken away to see what the rule's cause costs, None where nothing can be."""
    return _OF_RULE.get(rule.id, RESOURCE.get(rule.bottleneck))


def cost_of(measurements: Measurements, rule: BottleneckRule, raw: float | None) -> Cost | None:
    """Return what the experiment on the rule's resource says, None where there was none that can be trusted.

    Of the input family several causes share one experiment: each keeps the part of it that its phase share is of
    the whole wait. A cause as large as the wait, or larger because it works in the background, is all of it.
    """
    resource = resource_of(rule)
    if resource is None:
        return None
    found = measurements.get(f"ceiling.{resource}_frac")
    basis: Basis = "ceiling"
    if found is None and resource == "input":
        found, basis = measurements.get("bracket.input_frac"), "bracket"
    if found is None or found.interval is None:
        return None
    wait = measurements.number("input.wait_frac") or 0.0
    beside = _beside(measurements, resource, raw)
    seen = wait if resource == "input" else _less(raw, beside)
    if basis == "ceiling" and rule.id not in _OF_RULE and _says_nothing(found.interval, seen):
        return None
    part = 1.0
    if resource == "input" and not rule.generic and raw is not None and wait > 0:
        part = min(1.0, raw / wait)
    low, high = (min(1.0, max(0.0, part * end) + beside) for end in found.interval)
    return Cost(
        share=min(1.0, max(0.0, part * found.value) + beside),
        interval=(low, high),
        basis=basis,
        clear=found.interval[0] >= _CLEAR,
        text=_say(resource, found, measurements),
    )


def _beside(measurements: Measurements, resource: str, raw: float | None) -> float:
    """Return the share that the experiment left in place: logging that samples saw outside the calls it removes."""
    timed = measurements.number("step.logging_frac")
    if resource != "logging" or raw is None or timed is None:
        return 0.0
    return max(0.0, raw - timed)


def _less(raw: float | None, beside: float) -> float | None:
    """Return the part of a phase's share that was taken away."""
    return None if raw is None else raw - beside


def _says_nothing(interval: tuple[float, float], raw: float | None) -> bool:
    """Return whether noise leaves so much open that the phase's own share ``raw`` may be as right.

    A share outside the interval is not, however wide that is: it was ruled out.
    """
    low, high = interval
    return high - low > _NARROW and (raw is None or low <= raw <= high)


def _say(resource: str, found: Measurement, measurements: Measurements) -> str:
    """Return the experiment in one sentence."""
    without = measurements.number(f"ceiling.{resource}_s")
    if without is None or found.value >= 1:
        return ""
    now = without / (1 - found.value)
    took = f"{_IT[resource]} a step took {units.seconds(without)} instead of {units.seconds(now)}"
    return f"{took}, in turn in this run."


def hides_nothing(raw: float, cost: Cost) -> str:
    """Return why a phase that takes ``raw`` of the step is no bottleneck."""
    part = f"The phase takes {units.fraction(raw)} of the loop's time, yet taking it away gains"
    gain = units.fraction(cost.share) if cost.share >= 0.005 else "nothing"
    return f"{part} {gain}: something else takes its place. {cost.text}".strip()
