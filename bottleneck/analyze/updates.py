"""Which optimizers belong together: those that step within one step of the training.

A script that trains several models one after the other (folds, a population, a search) makes an optimizer for each.
They are told in one record, but no step updates them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.span import Kind
from .timeline import Timeline

Told = Mapping[str, Any]  # of an optimizer, at its first step


@dataclass(frozen=True, slots=True)
class Updates:
    """What the steps update.

    Attributes:
        together: The optimizers of the step that updates most parameters.
        tensors: Parameter tensors that the mean step updates, one that is updated twice counted twice.
    """

    together: tuple[Told, ...]
    tensors: float


def find_updates(timeline: Timeline, told: Mapping[int, Told]) -> Updates | None:
    """Return what is updated; None where no step is known in which all optimizers are told, by number."""
    spans = timeline.trainer.spans
    calls = spans.where(spans.kind == Kind.OPTIMIZER)
    steps, count = np.searchsorted(timeline.bounds_ns, calls.start_ns, side="right"), len(timeline.bounds_ns)
    inside = (steps >= 1) & (steps < count)
    steps, numbers = steps[inside], calls.b[inside]
    # Only so many optimizers are told: a step with another one is not known.
    unknown = np.bincount(steps, weights=~np.isin(numbers, list(told)), minlength=count) > 0
    steps, numbers = steps[~unknown[steps]], numbers[~unknown[steps]]
    if not len(steps):
        return None
    once = np.unique(np.stack([steps, numbers]), axis=1)
    sizes = np.bincount(once[0], weights=[int(told[number].get("parameters", 0)) for number in once[1]])
    together = once[1][once[0] == once[0][np.argmax(sizes[once[0]])]]
    tensors = sum(int(told[number].get("tensors", 0)) for number in numbers)
    return Updates(tuple(told[number] for number in together), tensors / len(np.unique(steps)))
