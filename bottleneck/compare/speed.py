"""Epsilon: how the time of a step compares, how sure that is, and whether it is a regression."""

from __future__ import annotations

import math
from collections.abc import Mapping

from .. import units
from ..model.comparison import Estimate, PhaseChange, Regression, Side, Speedup
from ..model.finding import Interval
from ..model.report import PHASES, Report
from . import estimate
from .facts import samples
from .sides import Group, beside, differ

_LEAST = 1e-3  # of a step: phases below this on both sides are left out; they would read "under 0.1 %"
_NOISE: Mapping[str, str] = {
    "runs": "The interval comes from differences between runs of each side (Welch's t on the logarithms).",
    "other_side": "One side is a single run: the interval takes for granted that its repeats would differ as those of "
    "the other side do.",
    "blocks": "One run on each side: the interval knows how uneven steps are within a run, not how much runs "
    "differ from each other. Compare folders of repeated runs to know that.",
    "none": "No interval: a single run needs its record and at least 16 timed steps.",
}


def speedup(before: tuple[Group, Side], after: tuple[Group, Side]) -> Speedup:
    """Return the time of ``before`` over that of ``after``."""
    sample = differ(before[1], after[1])
    sides = [[_log_time(one.step, one.report, sample) for one in group.facts] for group, _ in (before, after)]
    old, new, noise = beside(sides[0], sides[1])
    ratio, known = estimate.ratio(old, new)
    whole = before[1].run_s, after[1].run_s
    return Speedup(
        basis="sample" if sample else "step",
        ratio=ratio,
        known=known,
        noise=noise if known else "none",
        significant=(ratio.low > 1 or ratio.high < 1) if known else None,
        run=whole[0] / whole[1] if whole[0] and whole[1] else None,
        text=_NOISE[noise if known else "none"],
    )


def _log_time(step: Estimate, report: Report, per_sample: bool) -> Estimate:
    """Return the logarithm of a run's seconds per step, or per sample."""
    found = estimate.log(step)
    taken = samples(report) if per_sample else 1.0
    shift = math.log(taken) if taken else 0.0
    return Estimate(value=found.value - shift, error=found.error, degrees=found.degrees)


def headline(found: Speedup, before: Side, after: Side) -> str:
    """Return the answer in one sentence."""
    times = [
        side.step_s / (side.samples or 1.0 if found.basis == "sample" else 1.0) for side in (before, after)
    ]
    old, new = (units.seconds(time) for time in times)
    one, other, ratio = before.letter, after.letter, found.ratio
    instead = f"{new} instead of {old} per {found.basis}"
    if found.significant is None:
        return f"{other} takes {instead}; how sure that is can't be said."
    if not found.significant:
        alike = f"{old} per {found.basis} in {one}, {new} in {other}"
        between = f"{other} takes {times_of(1 / ratio.high)} to {times_of(1 / ratio.low)} as long, 95 %"
        return f"No difference that can be told from noise: {alike} ({between})."
    if ratio.likely > 1:
        between = f"95 %: {times_of(ratio.low)} to {times_of(ratio.high)}"
        return f"{other} is {times_of(ratio.likely)} as fast as {one}: {instead} ({between})."
    between = f"95 %: {times_of(1 / ratio.high)} to {times_of(1 / ratio.low)}"
    return f"{other} takes {times_of(1 / ratio.likely)} as long as {one}: {instead} ({between})."


def times_of(value: float) -> str:
    """Return a ratio such as "3.4×"; near 1 the second digit is the answer."""
    if value >= 100 or value < 0.01:
        return "over 100×" if value >= 100 else "under 0.01×"
    if value >= 9.95:
        return f"{value:.0f}×"
    return f"{value:.1f}×" if value >= 1.995 else f"{value:.2f}×"


def phases(before: tuple[Group, Side], after: tuple[Group, Side], basis: str) -> tuple[PhaseChange, ...]:
    """Return seconds per step, or per sample, by phase: those that take longest on either side first."""
    scales = [1 / (side.samples or 1.0) if basis == "sample" else 1.0 for _, side in (before, after)]
    whole = max(before[1].step_s * scales[0], after[1].step_s * scales[1])
    rows = []
    for phase in PHASES:
        sides = [
            [_scaled(one.phases.get(phase, Estimate(value=0.0)), scale) for one in group.facts]
            for (group, _), scale in zip((before, after), scales, strict=True)
        ]
        old, new, _ = beside(sides[0], sides[1])
        change, known = estimate.difference(old, new)
        if max(old.value, new.value) > _LEAST * whole:
            rows.append(
                PhaseChange(
                    phase=phase, before_s=old.value, after_s=new.value, difference=change, known=known
                )
            )
    return tuple(sorted(rows, key=lambda row: -max(row.before_s, row.after_s)))


def _scaled(found: Estimate, scale: float) -> Estimate:
    """Return an estimate in other units."""
    error = None if found.error is None else found.error * scale
    return Estimate(value=found.value * scale, error=error, degrees=found.degrees)


def regression(found: Speedup, letter: str, limit: float) -> Regression:
    """Return whether a step became slower by more than ``limit`` (a fraction), significantly."""
    slower = Interval(
        low=1 / found.ratio.high - 1, likely=1 / found.ratio.likely - 1, high=1 / found.ratio.low - 1
    )
    failed = found.known and slower.low > limit
    allowed, much = units.fraction(limit), f"{letter} is {_slower(slower)} slower"
    if failed:
        text = f"Regression: {much}, and more than {allowed} with 95 % confidence."
    elif slower.likely > limit and not found.known:
        text = f"{much}, more than {allowed}, but without an interval that is not significant: not failed."
    elif slower.likely > limit:
        text = f"{much}; that it is more than {allowed} is not significant: not failed."
    else:
        text = f"No regression of more than {allowed}."
    return Regression(limit=limit, slower=slower, failed=failed, text=text)


def _slower(slower: Interval) -> str:
    """Return how much slower, with its interval where it has one."""
    if slower.low == slower.high:
        return units.fraction(slower.likely)
    ends = (f"{'-' if end < 0 else ''}{units.fraction(abs(end))}" for end in (slower.low, slower.high))
    return f"{units.fraction(slower.likely)} ({' to '.join(ends)})"
