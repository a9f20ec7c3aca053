"""Runs that are repeats of the same thing, as one side."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..model.comparison import Estimate, Side
from . import estimate
from .facts import Facts, finite, run_s, samples
from .quality import last

TimeBasis = Literal["run", "step", "sample"]
_MOST = 1 << 60  # no count of ours is larger
SAME = 0.005  # numbers of samples that differ by less are those of a data set whose last batch is smaller


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What was given as one side.

    Attributes:
        letter: "A" for the first.
        name: What the user called it.
        facts: Its runs, at least one.
        left_out: Runs that could not be used, with the reason.
    """

    letter: str
    name: str
    facts: tuple[Facts, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


def build(groups: Sequence[Group], metric: str | None) -> tuple[tuple[Side, ...], TimeBasis]:
    """Return the sides, and what the times of their points are."""
    plain = [_side(group, metric) for group in groups]
    basis = _basis(plain)
    sides = tuple(
        replace(side, points=_points(group, side, metric, basis))
        for side, group in zip(plain, groups, strict=True)
    )
    return sides, basis


def _side(group: Group, metric: str | None) -> Side:
    """Return one side without its points."""
    reports = [one.report for one in group.facts]
    medians = [finite(report.step.seconds.get("median")) for report in reports if report.step is not None]
    step, each = _geometric([one.step.value for one in group.facts]), _every([samples(r) for r in reports])
    taken = statistics.fmean(each) if each else None
    found = [at for one in group.facts if metric and (at := last(one, metric)) is not None]
    return Side(
        letter=group.letter,
        name=group.name,
        runs=tuple(one.name for one in group.facts),
        left_out=group.left_out,
        step_s=step,
        median_s=_geometric(whole) if (whole := _every(medians)) and min(whole) > 0 else None,
        steps=min(_MOST, sum(report.step.count for report in reports if report.step is not None)),
        samples=taken,
        per_second=taken / step if taken else None,
        run_s=statistics.fmean(times) if (times := _every([run_s(r) for r in reports])) else None,
        quality=estimate.of_runs([value for value, _ in found]) if found else None,
        updates=min((updates for _, updates in found), default=None),
    )


def _every(values: Sequence[float | None]) -> list[float]:
    """Return the values where all are known, else nothing."""
    known = [value for value in values if value is not None]
    return known if len(known) == len(values) else []


def _geometric(values: Sequence[float]) -> float:
    """Return the geometric mean of positive values."""
    return math.exp(statistics.fmean(math.log(value) for value in values))


def _basis(sides: Sequence[Side]) -> TimeBasis:
    """Return what to draw as time: whole runs where all ended by themselves, else samples where steps differ."""
    if all(side.run_s is not None for side in sides):
        return "run"
    return "sample" if any(differ(sides[0], side) for side in sides) else "step"


def differ(one: Side, other: Side) -> bool:
    """Return whether a step of both is known to take different numbers of samples."""
    if not one.samples or not other.samples:
        return False
    return abs(math.log(one.samples / other.samples)) > SAME


def _points(
    group: Group, side: Side, metric: str | None, basis: TimeBasis
) -> tuple[tuple[float, float], ...]:
    """Return (seconds, quality) of every run that logged the metric."""
    points = []
    for one in group.facts:
        found = last(one, metric) if metric else None
        seconds = _time(one, basis)
        if found is not None and seconds is not None:
            points.append((seconds, found[0]))
    return tuple(points)


def _time(one: Facts, basis: TimeBasis) -> float | None:
    """Return the seconds of one run on ``basis``."""
    if basis == "run":
        return run_s(one.report)
    taken = samples(one.report) if basis == "sample" else 1.0
    return one.step.value / taken if taken else None


def beside(
    before: Sequence[Estimate], after: Sequence[Estimate]
) -> tuple[Estimate, Estimate, Literal["runs", "other_side", "blocks", "none"]]:
    """Return the means of two sides with errors, and where those come from.

    Args:
        before: One estimate for each run, its error found within the run.
        after: The other side's.
    """
    means = [estimate.of_runs([one.value for one in side]) for side in (before, after)]
    if len(before) > 1 and len(after) > 1:
        return means[0], means[1], "runs"
    if len(after) > 1:
        single, several = estimate.borrowed(means[0], means[1], len(after))
        return single, several, "other_side"
    if len(before) > 1:
        single, several = estimate.borrowed(means[1], means[0], len(before))
        return several, single, "other_side"
    known = before[0].error is not None and after[0].error is not None
    return before[0], after[0], "blocks" if known else "none"
