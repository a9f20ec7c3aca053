"""What a change did to the losses: nothing, rounding, another order of batches, or a different training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.trial import LossComparison
from .quantiles import t_quantile

Loss = tuple[int, float]  # (updates before it, value)
Floats = npt.NDArray[np.float64]

# Unit roundoff of the format that the training computes in.
UNIT: Mapping[str, float] = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-9,
}
# How far another order of additions moves the loss, relatively: measured on a perceptron, a CNN with batch norm and a
# transformer, with AdamW and SGD: a fused against a looped optimizer, channels_last, one weight matrix moved by its
# last bit. The largest of all,
#   float32   1.1e-7 at once, 2.3e-7 after 20 updates, 2.7e-5 after 40, 1.4e-4 after 60, 2.3e-3 after 100,
#             3.4e-2 after 200
#   bfloat16  9e-6 after one update, 1.3e-4 after 4, 1.0e-3 after 9, 1.5e-3 after 20, 9e-3 after 30
# What is no rounding, in float32: a learning rate 1 % higher gives 3e-6 to 4e-4 after one update and 7e-5 to 6e-3
# after nine; other batches 1e-3 to 3e-2 at once; another seed 6e-3 to 2e-2. So the first steps tell, and the bound lies
# between: 32 units at once in float32 (the loss itself is rounded to one or two), a quarter unit in coarser formats,
# where a loss is the mean of many rounded numbers (float16 and tf32 are not measured); and it doubles every five
# updates. A learning rate 1 % higher in bfloat16 looks like rounding in most of these trainings.
_FIRST_UNITS, _FIRST_COARSE = 32 * UNIT["float32"], 0.25
_DOUBLES = 5
# From where rounding alone may make 1 %, nothing is told step by step: in float32 after 61 updates.
_CHAOS = 0.01
_FEWEST = 3  # steps within that horizon: the first has no update behind it, and one more may agree by chance


@dataclass(frozen=True, slots=True, kw_only=True)
class _Level:
    """Mean difference of the losses as a share of their mean size, with its 95 % interval."""

    low: float
    mean: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1%} on average (95 %: {self.low:+.1%} to {self.high:+.1%})"


def rounding_bound(updates: int, unit: float = UNIT["float32"]) -> float:
    """Return the relative difference of losses that rounding explains after ``updates`` optimizer steps."""
    if updates > 100 * _DOUBLES:
        return math.inf
    return float(max(_FIRST_UNITS, _FIRST_COARSE * unit) * 2 ** (updates / _DOUBLES))


def compare_losses(
    base: Sequence[Loss], arm: Sequence[Loss], *, unit: float = UNIT["float32"], reorders: bool = False
) -> LossComparison:
    """Return what became of the losses of the same steps.

    Args:
        base: (updates before it, loss) of the base in the order they came; several with accumulation.
        arm: With the changes.
        unit: Unit roundoff of the coarsest format both arms compute in (``UNIT``). Where the change is one of the
            format, take the base's: then it is told as what it is.
        reorders: The change may give batches, or random numbers of workers, another order. The losses alone can't
            tell that from other causes.
    """
    steps, one, other = _matched(base, arm)
    if not steps:
        return _said("unknown", 0, None, "No loss was seen in both arms.")
    if np.array_equal(one, other, equal_nan=True):
        return _said("identical", len(steps), 0.0, f"All {len(steps)} losses are identical bit for bit.")
    broken = _not_finite(steps, one, other)
    if broken:
        return broken
    finite = np.isfinite(one)
    if not finite.any():
        return _said("unknown", len(steps), None, "No loss is finite, with the changes or without.")
    steps, one, other = (
        [step for step, good in zip(steps, finite, strict=True) if good],
        one[finite],
        other[finite],
    )
    distance = _distance(one, other)
    largest = float(distance.max())
    allowed = np.array([rounding_bound(step, unit) for step in steps])
    near = allowed <= _CHAOS
    told = int(near.sum())
    if told >= _FEWEST and (distance <= allowed)[near].all():
        return _said(
            "rounding",
            len(steps),
            largest,
            _rounding_text(told, float(distance[near].max()), _level(one[~near], other[~near])),
        )
    level = _level(one, other)
    if reorders and _same_values(one, other, rounding_bound(0, unit)):
        return _said("reordered", len(steps), largest, "The same losses came in another order.")
    if reorders and level and level.low <= 0 <= level.high:
        text = f"Batches came in another order: losses of the same step differ, {level}. {_SHORT}"
        return _said("reordered", len(steps), largest, text)
    if told < _FEWEST:
        text = f"Only {told} losses lie so early that rounding could be told from a change."
        return _said("unknown", len(steps), largest, text)
    text = f"Losses of the same step differ by up to {_share(largest)}, more than rounding explains"
    return _said("changed", len(steps), largest, f"{text}{f'; {level}' if level else ''}. {_SHORT}")


_SHORT = "What that does to the final quality, a run this short can't tell."


def _rounding_text(told: int, largest: float, later: _Level | None) -> str:
    text = (
        f"The first {told} losses differ by at most {largest:.0e}, as another order of additions makes them"
    )
    if later:
        text += f"; later ones {later}, as small differences grow in any training"
    return f"{text}."


def _not_finite(steps: Sequence[int], one: Floats, other: Floats) -> LossComparison | None:
    """Return what is to be said where a loss is finite in one arm only; None where there is no such step."""
    apart = np.flatnonzero(np.isfinite(one) != np.isfinite(other))
    if not len(apart):
        return None
    at = int(apart[0])
    which = "with" if math.isfinite(one[at]) else "without"
    return _said(
        "changed", len(steps), None, f"The loss of step {steps[at]} is not finite {which} the changes."
    )


def _matched(base: Sequence[Loss], arm: Sequence[Loss]) -> tuple[list[int], Floats, Floats]:
    """Return (steps, losses of the base, of the arm) for what both have, in the order of the base."""
    there = dict(_numbered(arm))
    both = [(key[0], loss, there[key]) for key, loss in _numbered(base) if key in there]
    return (
        [step for step, _, _ in both],
        np.array([one for _, one, _ in both]),
        np.array([two for _, _, two in both]),
    )


def _numbered(losses: Sequence[Loss]) -> list[tuple[tuple[int, int], float]]:
    """Return the losses by (step, which of that step)."""
    seen: Counter[int] = Counter()
    found = []
    for step, loss in losses:
        found.append(((step, seen[step]), loss))
        seen[step] += 1
    return found


def _distance(one: Floats, other: Floats) -> Floats:
    """Return relative differences; below the typical size of a loss they are relative to that: it may cross zero."""
    scale = np.maximum(np.maximum(np.abs(one), np.abs(other)), np.median(np.abs(one)))
    distance: Floats = np.abs(one - other) / np.maximum(scale, np.finfo(np.float64).tiny)
    return distance


def _same_values(one: Floats, other: Floats, first: float) -> bool:
    """Return whether both hold the same losses, as where nothing is learnt, up to ``first``."""
    return len(one) >= _FEWEST and bool((_distance(np.sort(one), np.sort(other)) <= first).all())


def _level(one: Floats, other: Floats) -> _Level | None:
    """Return by how much the arm's losses are higher, step by step; None with too few of them.

    Differences next to each other are alike, so as many count as their autocorrelation leaves:
    n (1 - r) / (1 + r), as for a first-order process.
    """
    if len(one) < _FEWEST:
        return None
    apart = other - one
    size = float(np.mean(np.abs(one)))
    spread = apart - apart.mean()
    total = float(spread @ spread)
    if not size or not total:
        return None
    alike = min(0.99, max(0.0, float(spread[1:] @ spread[:-1]) / total))
    count = len(apart) * (1 - alike) / (1 + alike)
    if count < 2:
        return None
    half = t_quantile(0.975, count - 1) * float(np.std(apart, ddof=1)) / math.sqrt(count)
    mean = float(apart.mean())
    return _Level(low=(mean - half) / size, mean=mean / size, high=(mean + half) / size)


def _share(value: float) -> str:
    return f"{value:.1%}" if value >= 0.001 else f"{value:.0e}"


def _said(relation: str, steps: int, largest: float | None, text: str) -> LossComparison:
    return LossComparison(relation=relation, steps=steps, largest=largest, text=text)  # type: ignore[arg-type]
