"""The fingerprint of a block: what a step did, so that steps without a resource are known to do the same work."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from .. import kinds, model_calls
from ..hooks import Hooks
from .arm import Invalid

_TOLERANCE = 0.05  # epochs end inside of blocks, where the last step may accumulate over fewer batches
_ERRORS = 3.0  # standard errors that mean sizes of batches may differ by chance


class Work:
    """What was counted in blocks of one sort."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.steps = self.forwards = self.backwards = self.compiles = self.saves = 0


class Counts:
    """Counts what the other hooks record, as they record it."""

    def __init__(self, torch: Any, recorder: Any, raised: Callable[[BaseException | None], None]) -> None:
        """Call ``raised(error)`` when a loader, a model or the autograd engine was left by an exception."""
        self.torch = torch
        self.recorder = recorder
        self.raised = raised
        self.work = (Work(), Work())
        self.current: Work | None = None
        self.loss: Any = None
        self.finite = [True, True]

    def install(self, hooks: Hooks) -> None:
        """Listen to the recorder, and look at what is differentiated."""
        record = self.recorder.span

        def span(
            kind: int, start: int, end: int, flags: int = 0, name: int = 0, a: int = 0, b: int = 0
        ) -> None:
            record(kind, start, end, flags, name, a, b)
            self._count(kind, flags)

        before = model_calls._before_backward

        def look(outputs: Any) -> None:
            before(outputs)
            first = outputs[0] if isinstance(outputs, (tuple, list)) and outputs else outputs
            if isinstance(first, self.torch.Tensor) and first.numel() == 1:
                self.loss = first.detach()

        hooks.patch(self.recorder, "span", span)
        hooks.patch(model_calls, "_before_backward", look)

    def _count(self, kind: int, flags: int) -> None:
        """Count one span."""
        if flags & kinds.RAISED and kind in (kinds.NEXT, kinds.FORWARD, kinds.BACKWARD):
            self.raised(sys.exc_info()[1])
        work = self.current
        if work is None:
            return
        if kind == kinds.FORWARD:
            work.forwards += flags & (kinds.TRAINING | kinds.GRAD) == kinds.TRAINING | kinds.GRAD
        elif kind == kinds.BACKWARD:
            work.backwards += 1
        elif kind == kinds.COMPILE:
            work.compiles += 1
        elif kind == kinds.SAVE:
            work.saves += 1

    def block(self, removed: bool, steps: int) -> None:
        """End a counted block; the loss is read here alone, where the device is waited for anyway."""
        self.work[removed].steps += steps
        self.current = None
        if self.loss is not None:
            try:
                self.finite[removed] &= math.isfinite(float(self.loss))
            except Exception as error:
                self.recorder.failed("ablation", error)
            self.loss = None

    def compare(self, delivery: Any) -> None:
        """Check that a step did the same with and without the resource.

        Raises:
            Invalid: It did not.
        """
        asis, without = self.work
        if not asis.steps or not without.steps:
            return
        _same("forward passes", asis.forwards / asis.steps, without.forwards / without.steps)
        _same("backward passes", asis.backwards / asis.steps, without.backwards / without.steps)
        if without.compiles > asis.compiles:
            raise Invalid("torch.compile compiled anew in steps without the resource")
        if self.finite[0] and not self.finite[1]:
            raise Invalid("the loss did not stay finite without the resource")
        for number in delivery.training():
            sizes = delivery.loaders[number].sizes
            _same("batches", len(sizes[0]) / asis.steps, len(sizes[1]) / without.steps)
            _same_size(sizes)

    def facts(self, delivery: Any) -> dict[str, Any]:
        """Return what a step did, as is and without the resource."""
        shapes = {n: [len(found) for found in delivery.loaders[n].shapes] for n in delivery.training()}
        sorts = [
            {
                "steps": work.steps,
                "forwards": work.forwards,
                "backwards": work.backwards,
                "compiles": work.compiles,
                "saves": work.saves,
                "batches": sum(len(delivery.loaders[n].sizes[removed]) for n in delivery.training()),
            }
            for removed, work in enumerate(self.work)
        ]
        return {"as_is": sorts[0], "without": sorts[1], "shapes": shapes, "finite": self.finite[1]}


def _same(what: str, here: float, there: float) -> None:
    """Raise where two means differ by more than the ends of epochs explain."""
    if abs(here - there) > _TOLERANCE * max(here, there):
        raise Invalid(f"{what} per step: {here:.3g} as is, {there:.3g} without")


def _same_size(sizes: tuple[list[int], list[int]]) -> None:
    """Raise where batches are larger or smaller by more than chance explains."""
    if min(len(part) for part in sizes) < 2:
        return
    means = [sum(part) / len(part) for part in sizes]
    errors = sum(
        sum((size - mean) ** 2 for size in part) / (len(part) - 1) / len(part)
        for part, mean in zip(sizes, means, strict=True)
    )
    allowed = max(_TOLERANCE * max(means), _ERRORS * math.sqrt(errors))
    if abs(means[0] - means[1]) > allowed:
        raise Invalid(f"elements per batch: {means[0]:.4g} as is, {means[1]:.4g} without")
