"""Operators of the model that are issued again and again within one pass: loops over samples or time steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from .operators import Operator, Roofs, limit_of
from .values import Values

# Times in one pass that one line of one module issues an operator. Layers are modules of their own, and lists of
# layers, heads or scales written as a loop are rarely longer than this; batches and sequences are.
_OFTEN = 16
# Classes of torch.nn whose own code goes through the time steps.
_RECURRENT = frozenset({"GRU", "LSTM", "RNN"})


def of_recurrent_layers(operators: Sequence[Operator], classes: Mapping[str, str]) -> float:
    """Return the part of ``operators`` that recurrent layers issue; ``classes`` has those of modules by name."""
    every = sum(o.calls for o in operators)
    return sum(o.calls for o in operators if classes.get(o.module) in _RECURRENT) / every if every else 0.0


def analyse(
    model: Sequence[Operator], classes: Mapping[str, str], roofs: Roofs, tf32: bool, values: Values
) -> None:
    """Give the share of the step in issuing operators of such loops, and the line most of them are issued for.

    Issuing an operator costs about the same whichever it is, in forward as in backward: of what the step takes to
    issue all operators, those of forward that recur have the part that they have of the calls. Recurrent layers of
    torch loop too, but not in the script.
    """
    groups, forward = _groups([o for o in model if o.phase == "forward"], roofs, tf32)
    overhead = values.number("device.overhead_frac")
    if overhead is None or not any(line for _, _, line in groups):
        values.lack("device.repeated_frac", "the lines of the script that issue operators are not known")
        return
    passes = max(1.0, min(every for every, _ in groups.values()))
    again = {
        key: small - passes
        for key, (_, small) in groups.items()
        if key[2] and small >= _OFTEN * passes and classes.get(key[0]) not in _RECURRENT
    }
    values.give("device.repeated_frac", overhead * sum(again.values()) / forward)
    values.label("device.repeated", _named(again, passes))


_Key = tuple[str, str, str]


def _groups(
    forward: Sequence[Operator], roofs: Roofs, tf32: bool
) -> tuple[dict[_Key, tuple[float, float]], float]:
    """Return calls by (module, operator, line), all and those that take little but being issued; and all calls."""
    found: dict[_Key, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for o in forward:
        every, small = found[o.module, o.name, o.source]
        is_small = limit_of(o, roofs, tf32) == "overhead"
        found[o.module, o.name, o.source] = (every + o.calls, small + o.calls * is_small)
    return dict(found), sum(o.calls for o in forward)


def _named(again: dict[_Key, float], passes: float) -> str:
    """Return the line that issues most of them, and how many for one pass; "" where there is none."""
    lines: dict[str, float] = defaultdict(float)
    for (_, _, line), calls in again.items():
        lines[line] += calls / passes
    line = max(lines, key=lambda one: lines[one], default="")
    return f"{lines[line]:.0f} for {line}" if line else ""
