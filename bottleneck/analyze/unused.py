"""The share of a step that makes gradients nobody uses (told by ``agent/unused.py``)."""

from __future__ import annotations

from typing import Any

from .traffic import Scaled
from .values import Values


def analyse(told: Any, scaled: Scaled, values: Values) -> None:
    """Give what of the step such gradients take, how many numbers they are for, and the line that most of it is for.

    Args:
        told: What the agent found, ``parameters`` and ``trusted``; None where an older version recorded the run.
        scaled: Operators of model and loop, each with what makes its seconds a share of the mean step.
        values: The measurements are added.
    """
    unused = [(o, part) for o, part in scaled if o.unused]
    if not isinstance(told, dict):
        values.lack("device.unused_grad_frac", "the run was recorded by a version that did not look for them")
        return
    if unused and told.get("trusted") is not True:
        values.lack(
            "device.unused_grad_frac",
            "no gradient was seen to reach a parameter of an optimizer, or others are updated by other means",
        )
        return
    share = sum(o.seconds * part for o, part in unused)
    values.give("device.unused_grad_frac", share)
    count = told.get("parameters")
    if unused and isinstance(count, int) and count > 0:
        values.give("device.unused_grads", count)
    lines: dict[str, float] = {}
    for o, part in unused:
        lines[o.source] = lines.get(o.source, 0.0) + o.seconds * part
    line = max(lines, key=lambda one: lines[one], default="")
    if line and lines[line] > share / 2:
        values.label("device.unused_line", line)
