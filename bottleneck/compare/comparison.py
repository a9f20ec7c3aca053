"""Sides beside the first of them -> the comparison. Pure: the same runs give the same comparison."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.comparison import Comparison, Contrast, Delta, Side, Speedup
from . import quality
from .differences import differences, not_the_same_work
from .findings import ceilings, efficiency, findings
from .sides import Group, build
from .speed import headline, phases, regression, speedup

_FEW = 50  # timed steps: with fewer, a stall that comes now and then may be on one side alone


def compare(
    groups: Sequence[Group],
    *,
    metric: str | None = None,
    higher: bool | None = None,
    limit: float | None = None,
    version: str = "",
) -> Comparison:
    """Return every group beside the first.

    Args:
        groups: At least two.
        metric: Name of a number the runs logged that tells their quality.
        higher: It is better the higher it is; False the lower; None where that was not said.
        limit: The slow-down that is tolerated, as a fraction; None: do not judge.
        version: Who compares.
    """
    sides, basis = build(groups, metric)
    first = (groups[0], sides[0])
    return Comparison(
        sides=sides,
        contrasts=tuple(
            _contrast(first, other, metric, higher, limit)
            for other in zip(groups[1:], sides[1:], strict=True)
        ),
        metric=metric,
        higher_is_better=higher,
        time_basis=basis,
        pareto=quality.front(sides, higher),
        tool_version=version,
    )


def _contrast(
    before: tuple[Group, Side],
    after: tuple[Group, Side],
    metric: str | None,
    higher: bool | None,
    limit: float | None,
) -> Contrast:
    """Return one side beside the first."""
    found, others = speedup(before, after), differences(before[0], after[0])
    change = quality.delta(before[1], after[1], metric, higher, _missing(before, after, metric))
    return Contrast(
        letter=after[1].letter,
        headline=headline(found, before[1], after[1]),
        speedup=found,
        delta=change,
        warnings=(
            *not_the_same_work(others),
            *filter(None, [quality.unequal(before[1], after[1], metric)]),
            *filter(
                None,
                [
                    quality.partial(*one, metric)
                    for one in ((before[0].facts, before[1]), (after[0].facts, after[1]))
                ],
            ),
            *_limits(found, before[1], after[1], change),
        ),
        phases=phases(before, after, found.basis),
        ceilings=ceilings(before[0], after[0]),
        efficiency=efficiency(before[0], after[0]),
        findings=findings(before[0], after[0]),
        differences=others,
        regression=None if limit is None else regression(found, after[1].letter, limit),
    )


def _missing(before: tuple[Group, Side], after: tuple[Group, Side], metric: str | None) -> str:
    """Return why the quality of a side is not known."""
    if metric is None:
        known = quality.names([*before[0].facts, *after[0].facts])
        return "unknown, no metric was named" + (
            f" (logged: {', '.join(known[:12])}; choose with --metric)" if known else ""
        )
    whose = [
        f"{side.letter}: {quality.why_missing(group.facts, metric)}"
        for group, side in (before, after)
        if side.quality is None
    ]
    return f"unknown, {'; '.join(whose)}"


def _limits(found: Speedup, before: Side, after: Side, change: Delta) -> list[str]:
    """Return what limits the answer, in one sentence each."""
    rows = [found.text]
    for side in (before, after):
        if side.steps < _FEW:
            rows.append(
                f"{side.letter} rests on {side.steps} timed steps: a rare stall may be missing in it."
            )
        rows += [f"{side.letter}: {name} was left out: {why}." for name, why in side.left_out.items()]
    if before.median_s and after.median_s and found.basis == "step":
        medians = before.median_s / after.median_s
        if found.significant and (medians > 1) != (found.ratio.likely > 1):
            rows.append("The median step says the opposite of the mean: rare long steps decide here.")
    if found.run is not None and found.significant and (found.run > 1) != (found.ratio.likely > 1):
        rows.append(
            "Whole runs say the opposite of steps: they differ in the number of steps, or in what lies around them."
        )
    return rows
