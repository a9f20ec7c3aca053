"""Adds a little time to one phase, to see whether the step notices: the upper end of a bracket without a model."""

from __future__ import annotations

import time
from typing import Any

from .. import kinds
from ..recorder import now
from .arm import Arm, Refused, Setting


class Slower(Arm):
    """``removed`` means slowed down here: what is removed is speed."""

    def __init__(self, setting: Setting) -> None:
        """Read phase and seconds from the order."""
        super().__init__(setting)
        self.phase = str(setting.order.get("arm", "")).partition(":")[2]
        self.seconds = float(setting.order.get("eps_s") or 0.0)

    def check(self) -> None:
        """Refuse what can't be slowed."""
        if self.phase not in ("data_wait", "forward", "other", "fetch"):
            raise Refused(f"the phase {self.phase} can't be slowed down")
        if self.seconds <= 0:
            raise Refused("no time to add was given")

    def prepare(self) -> None:
        """Put a delay where the phase is."""
        if self.phase in ("data_wait", "fetch"):
            self.setting.delivery.give = self._late
        elif self.phase == "forward":
            self._slow_forward(self.setting.recorder)

    def remove(self) -> None:
        """Be slow from now on."""
        if self.phase == "fetch":
            self._check_fetch()
        super().remove()

    def facts(self) -> dict[str, Any]:
        """Return the seconds that were added each time."""
        return {"added_s": self.seconds}

    def after_step(self, ordinary: bool) -> None:
        """Wait here where the phase is all else."""
        if self.phase == "other" and not ordinary:
            spin(self.seconds)

    def _check_fetch(self) -> None:
        """Refuse where batches are made in workers: those run already."""
        delivery = self.setting.delivery
        for number in delivery.training():
            if getattr(delivery.loaders[number].iterator(), "_num_workers", 0):
                raise Refused("batches are made in workers, which run already")
        if not delivery.training():
            raise Refused("no torch DataLoader feeds the steps")

    def _late(self, iterator: Any, original: Any) -> Any:
        """Return the next batch of a loader that feeds the steps, late while slowed."""
        delivery = self.setting.delivery
        slow = self.removed and delivery.number(iterator) in delivery.training()
        if slow and self.phase == "fetch":  # without workers, asking for a batch makes it
            spin(self.seconds)
        batch = original(iterator)
        if slow and self.phase == "data_wait":
            time.sleep(self.seconds)
        return batch

    def _slow_forward(self, recorder: Any) -> None:
        """Wait behind every forward pass that trains, in the moment when it is recorded."""
        record, trains = recorder.span, kinds.TRAINING | kinds.GRAD

        def span(kind: int, start: int, end: int, flags: int = 0, *rest: int) -> None:
            record(kind, start, end, flags, *rest)
            if kind == kinds.FORWARD and self.removed and flags & trains == trains:
                spin(self.seconds)

        self.setting.hooks.patch(recorder, "span", span)


def spin(seconds: float) -> None:
    """Keep a core busy for ``seconds``: a phase that computes would, and a sleep would let others have it."""
    end = now() + int(seconds * 1e9)
    while now() < end:
        pass
