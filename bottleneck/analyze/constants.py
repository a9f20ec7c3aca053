"""The share of a step that repeats: results of the step before (``agent/constants``), passes (``agent/passes``)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from .traffic import Scaled
from .values import Values


def analyse(compared: bool, scaled: Scaled, values: Values) -> None:
    """Give what of the step goes into results that never change, where most of that is, and into backward once more.

    Args:
        compared: Counted steps were compared with each other.
        scaled: Operators of model and loop, each with what makes its seconds a share of the mean step.
        values: The measurements are added.
    """
    if not compared:
        values.lack("device.constant_frac", "the run was recorded by a version that did not compare steps")
        values.lack("device.retained_frac", "the run was recorded by a version that did not follow passes")
        return
    values.give("device.retained_frac", sum(o.seconds * part for o, part in scaled if o.retained))
    modules: dict[str, float] = defaultdict(float)
    lines: dict[str, float] = defaultdict(float)
    for operator, part in scaled:
        taken = operator.seconds * part * operator.constant
        modules[operator.module] += taken
        lines[operator.source] += taken
    values.give("device.constant_frac", sum(modules.values()))
    told = [_most(modules), _most(lines)]
    if any(told):
        values.label("device.constant_place", ", ".join(filter(None, told)))


def _most(shares: Mapping[str, float]) -> str:
    """Return the name that has more than half of all, "" where none has."""
    name = max(shares, key=lambda one: shares[one], default="")
    return name if shares.get(name, 0.0) > sum(shares.values()) / 2 else ""
