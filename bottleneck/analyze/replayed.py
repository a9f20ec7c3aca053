"""What the operators of a run took when they were called again, as they were and changed: seconds saved per step."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..model.record import RunRecord
from ..verify.statistics import t95
from .counted import updates_per_step
from .operators import phase_of
from .timeline import Timeline
from .values import Values

# What operators are called with instead, and how much work a changed call does of what the captured one does.
CHANGES: Mapping[str, float] = {
    "float32": 1.0,
    "bf16": 1.0,
    "channels_last": 1.0,
    "tf32": 1.0,
    "aligned": 1.0,
    "batch": 2.0,
}
WAYS = ("fused", "foreach")  # of optimizers
# An operator that takes half as long again, or two thirds, outside of the training was held up by something else
# there, or found its operands in a cache here: what it gains here says nothing of the training.
FACTOR = 1.5
_DOUBLE = "float64"
_MAD = 1.4826 * math.sqrt(
    math.pi / 2
)  # from a median deviation to the standard error of a median, times sqrt(n)
_MOST_OF_IT = 0.5  # of what would change: with less, what was called again does not stand for the rest
_MODEL = ("forward", "backward")
_LARGEST = 1e30  # no count or time of ours is larger


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Calls of one operator with equal arguments.

    Attributes:
        name: Operator without namespace.
        phase: Phase of the training it belongs to.
        dtype: Of its first floating-point tensor.
        calls: How many there are in a counted block.
        seconds: What they took in the training, all of them together.
        times: Seconds of one call in each round, by change; "captured" as it was.
        failed: Changes it could not be called with.
    """

    name: str
    phase: str
    dtype: str
    calls: float
    seconds: float
    times: Mapping[str, tuple[float, ...]]
    failed: frozenset[str] = frozenset()

    @property
    def factor(self) -> float:
        """Return how many times as long they took when called again; 0 where that was too short to tell."""
        captured = self.times.get("captured")
        return statistics.median(captured) * self.calls / self.seconds if captured and self.seconds else 0.0

    @property
    def is_alike(self) -> bool:
        """Return whether they took about what they took in the training."""
        return 1 / FACTOR <= self.factor <= FACTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Everything that was called again.

    Attributes:
        operators: Calls of the model and the loop.
        updates: Seconds of one update in each round, by way; one row for each optimizer.
        totals: Rows of (phase, operator, dtype, seconds) of all operators in a counted block.
        on_host: The times are the host's, so that an operator's are part of its phase's.
    """

    operators: tuple[Again, ...]
    updates: tuple[Mapping[str, tuple[float, ...]], ...]
    totals: tuple[tuple[str, str, str, float], ...]
    on_host: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What one change saves of the operators it applies to, in seconds of a step.

    Attributes:
        seconds: Likely; negative where it takes longer.
        interval: From the least to the most.
        covered: Part of what would change that was called again and can be trusted.
        left: Time with the change over time without.
    """

    seconds: float
    interval: tuple[float, float]
    covered: float
    left: float


def analyse(record: RunRecord, timeline: Timeline, values: Values) -> None:
    """Give the ``replay.*`` measurements; a part that is covered is always given, 0 where nothing was called again."""
    told: Any = record.deep.get(timeline.trainer.process.pid)
    found = read_replayed(told.get("replay") if isinstance(told, Mapping) else None)
    savings: dict[str, Saving] = {}
    if found is None:
        values.lack("replay", "no operators were called again after the training")
    else:
        updates = updates_per_step(told, timeline)
        savings = _of_operators(found, updates, values)
        _double_cost(savings.get("float32"), values)
        for change, one in _of_updates(found, updates, values).items():
            savings[change] = _with(savings[change], one) if change in savings else one
    for change in (*CHANGES, *WAYS):
        _give(change, savings.get(change), values)


def _give(change: str, saving: Saving | None, values: Values) -> None:
    """Give what one change saves."""
    values.give(f"replay.{change}_covered_frac", saving.covered if saving else 0.0)
    if saving is not None:
        values.give(f"replay.{change}_saved_s", saving.seconds, interval=saving.interval)
        values.give(f"replay.{change}_left_frac", saving.left)


def _double_cost(saving: Saving | None, values: Values) -> None:
    """Give how much float64 costs by the run's own operators, which know better than products of square matrices."""
    if saving is not None and saving.seconds and saving.left:
        values.give("device.double_cost", max(1.0, 1 / saving.left))


def _with(one: Saving, other: Saving) -> Saving:
    """Return what a change saves of operators and of updates together."""
    return Saving(
        seconds=one.seconds + other.seconds,
        interval=(one.interval[0] + other.interval[0], one.interval[1] + other.interval[1]),
        covered=one.covered,
        left=one.left,
    )


def read_replayed(told: Any) -> Replayed | None:
    """Return what ``collect/replay.py`` wrote, rows that are damaged left out; None where nothing was called again."""
    if not isinstance(told, Mapping) or not isinstance(told.get("operators"), list):
        return None
    floor = _number(told.get("floor_ns")) or 0.0
    operators = [one for row in told["operators"] if (one := _again(row, floor)) is not None]
    updates = [_times(row, 0.0) for row in _list(told.get("optimizers"))]
    totals = [row for row in _list(told.get("totals")) if _is_total(row)]
    return Replayed(
        operators=tuple(operators),
        updates=tuple(times for times in updates if times.get("captured")),
        totals=tuple((phase_of(row[0]), row[1], row[2], float(row[3])) for row in totals),
        on_host=told.get("device") != "cuda",
    )


def _list(value: Any) -> list[Any]:
    """Return ``value`` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def _number(value: Any) -> float | None:
    """Return ``value`` as a finite number that is not negative, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _LARGEST:
        return None
    return float(value)


def _is_total(row: Any) -> bool:
    """Return whether a row is one of totals."""
    whole = isinstance(row, list) and len(row) == 4 and all(isinstance(text, str) for text in row[:3])
    return whole and _number(row[3]) is not None


def _again(row: Any, floor_ns: float) -> Again | None:
    """Return one row of operators, None where it is damaged."""
    if not isinstance(row, Mapping):
        return None
    texts = [row.get(name) for name in ("op", "phase", "dtype")]
    calls, seconds = _number(row.get("calls")), _number(row.get("seconds"))
    if not all(isinstance(text, str) for text in texts) or not calls or seconds is None:
        return None
    name, phase, dtype = (str(text) for text in texts)
    phase = phase_of(phase)
    return Again(
        name=name,
        phase=phase,
        dtype=dtype,
        calls=calls,
        seconds=seconds,
        times=_times(row, floor_ns),
        failed=frozenset(map(str, row["problems"]))
        if isinstance(row.get("problems"), Mapping)
        else frozenset(),
    )


def _times(row: Any, floor_ns: float) -> Mapping[str, tuple[float, ...]]:
    """Return seconds by change, less what is timed of a call that does nothing; an optimizer's for all its elements."""
    told = row.get("times") if isinstance(row, Mapping) else None
    part = _number(row.get("part", 1.0)) if isinstance(row, Mapping) else None
    if not isinstance(told, Mapping) or not part:
        return {}
    found = {}
    for change, times in told.items():
        numbers = [_number(one) for one in _list(times)]
        if numbers and None not in numbers:
            kept = (max(0.0, float(one or 0.0) - floor_ns) / 1e9 / part for one in numbers)
            found[str(change)] = tuple(kept)
    return found


def _of_operators(found: Replayed, updates: float, values: Values) -> dict[str, Saving]:
    """Return what each change saves of the operators."""
    scale = _scales(found, updates, values)
    alike = [one for one in found.operators if one.is_alike]
    whole = sum(row[3] * scale(row[0]) for row in found.totals)
    covered = sum(one.seconds * scale(one.phase) for one in alike)
    values.give("replay.covered_frac", min(1.0, covered / whole) if whole else 0.0)
    if not alike:
        values.lack("replay", _unlike(found))
        return {}
    savings = {change: _saving(change, found, alike, scale) for change in CHANGES}
    for change, one in savings.items():
        if one is not None and one.covered < _MOST_OF_IT:
            savings[change] = None
            part = f"only {one.covered:.0%} of the time that would change could be called again as it was"
            values.lack(f"replay.{change}_saved_s", part)
    if (double := savings["float32"]) is not None:
        savings["float32"] = _beyond_operators(double, found, updates, values)
    return {change: one for change, one in savings.items() if one is not None}


def _beyond_operators(saving: Saving, found: Replayed, updates: float, values: Values) -> Saving:
    """Return what float32 saves where at the most all of forward and backward gains as operators do.

    What lies between operators, memory that is fetched and given back, has half the bytes too.
    """
    took = sum(row[3] for row in found.totals if row[0] in _MODEL) * updates
    has = sum(values.number(f"step.{phase}_s") or 0.0 for phase in _MODEL)
    if not (found.on_host and took and has > took):
        return saving
    low, high = saving.interval
    return replace(saving, interval=(low, max(high, high * min(FACTOR, has / took))))


def _unlike(found: Replayed) -> str:
    """Return why no operator can be trusted."""
    factors = [one.factor for one in found.operators if one.factor]
    if not factors:
        return "no operator could be called again in the time there was"
    middle = statistics.median(factors)
    times = f"{1 / middle:.2g} times" if middle < 1 else f"1/{middle:.2g} of the time"
    return f"the operators took {times} in the training of what they took when called again alone"


def _scales(found: Replayed, updates: float, values: Values) -> Callable[[str], float]:
    """Return what turns seconds of a counted block into those of a mean step, by phase.

    Counting slows a step, and the counted ones may have been slow: operators are given no more than their phase has,
    but for those of a device that works beside its host.
    """
    if not found.on_host:
        return lambda phase: updates
    factors: dict[str, float] = {}
    for phase in {row[0] for row in found.totals}:
        took = sum(row[3] for row in found.totals if row[0] == phase) * updates
        has = values.number(f"step.{phase}_s")
        factors[phase] = updates * (min(1.0, has / took) if has is not None and took > 0 else 1.0)
    return lambda phase: factors.get(phase, updates)


def _saving(
    change: str, found: Replayed, alike: Sequence[Again], scale: Callable[[str], float]
) -> Saving | None:
    """Return what one change saves of the operators; None where those it applies to could not be called again.

    What was not called again saves as much of its time as its like does, at the most; at the least nothing.
    """
    kept = [one for one in alike if one.times.get(change)]
    names = {_like(change, one.name, one.dtype) for one in found.operators if one.times.get(change)}
    if not names and not any(change in one.failed for one in found.operators):
        return Saving(seconds=0.0, interval=(0.0, 0.0), covered=1.0, left=1.0)  # nothing here would change
    before = sum(one.seconds * scale(one.phase) for one in kept)
    if not before:
        return None
    pairs = [(one.seconds * scale(one.phase), *_left(one, change)) for one in kept]
    saved = sum(seconds * (1 - left) for seconds, left, _ in pairs)
    doubt = math.sqrt(sum((seconds * half) ** 2 for seconds, _, half in pairs))
    doubt += abs(saved) * abs(
        1 - sum(one.factor * one.seconds for one in kept) / sum(o.seconds for o in kept)
    )
    like = sum(row[3] * scale(row[0]) for row in found.totals if _like(change, row[1], row[2]) in names)
    more = max(1.0, like / before)
    ends = sorted((saved, saved * more))
    return Saving(
        seconds=saved * more,
        interval=(ends[0] - doubt, ends[1] + doubt * more),
        covered=1 / more,
        left=1 - saved / before,
    )


def _like(change: str, name: str, dtype: str) -> tuple[str, str]:
    """Return what operators have in common that gain alike by a change.

    In float32 all gain that were in float64; with twice the batch any may do less for a sample, or more.
    """
    if change == "float32":
        return "", dtype if dtype == _DOUBLE else "other"
    return ("", "") if change == "batch" else (name, dtype)


def _left(one: Again, change: str) -> tuple[float, float]:
    """Return the time with a change over that without, for the same work, and half its 95 % interval."""
    before, after, work = one.times["captured"], one.times[change], CHANGES.get(change, 1.0)
    left = statistics.median(after) / statistics.median(before) / work
    ratios = [a / b / work for a, b in zip(after, before, strict=False) if b > 0]
    if len(ratios) < 2:
        return left, 0.0
    middle = statistics.median(ratios)
    spread = statistics.median(abs(ratio - middle) for ratio in ratios)
    return left, t95(len(ratios) - 1) * _MAD * spread / math.sqrt(len(ratios))


def _of_updates(found: Replayed, updates: float, values: Values) -> dict[str, Saving]:
    """Return what another way to update saves of the optimizers' time."""
    spent = values.number("step.optimizer_s")
    rows = [
        Again(name="", phase="optimizer", dtype="", calls=1, seconds=1, times=times)
        for times in found.updates
    ]
    again = sum(statistics.median(one.times["captured"]) for one in rows) * updates
    if not spent or not again:
        return {}
    if not 1 / FACTOR <= again / spent <= FACTOR:
        reason = f"an update took {spent:.2g} s in the training and {again:.2g} s when made again alone"
        for way in WAYS:
            values.lack(f"replay.{way}_saved_s", reason)
        return {}
    ways = {way: _updated(way, rows, spent, abs(1 - again / spent)) for way in (*WAYS, "float32")}
    return {way: one for way, one in ways.items() if one is not None}


def _updated(way: str, rows: Sequence[Again], spent: float, error: float) -> Saving | None:
    """Return what one way saves of ``spent`` seconds; an optimizer that can't go this way stays as it is."""
    if not any(one.times.get(way) for one in rows):
        return None
    before = [statistics.median(one.times["captured"]) for one in rows]
    lefts = [_left(one, way) if one.times.get(way) else (1.0, 0.0) for one in rows]
    left = sum(b * one for b, (one, _) in zip(before, lefts, strict=True)) / sum(before)
    half = sum(b * half for b, (_, half) in zip(before, lefts, strict=True)) / sum(before)
    saved = spent * (1 - left)
    doubt = spent * half + abs(saved) * error
    return Saving(seconds=saved, interval=(saved - doubt, saved + doubt), covered=1.0, left=left)
