"""Removes the exchange of gradients: DistributedDataParallel skips it, on all ranks in the same steps."""

from __future__ import annotations

import gc
from typing import Any

from .arm import Arm, Refused


class Collectives(Arm):
    """What ``DistributedDataParallel.no_sync`` does, from one boundary to another.

    Each rank then trains by itself, which the weights, disposable by now, do not survive; what decides how many
    steps are taken must not depend on them, or ranks would go different ways.
    """

    def check(self) -> None:
        """Refuse where gradients are exchanged otherwise, or ranks could take different numbers of steps."""
        torch = self.setting.torch
        distributed = torch.distributed
        if not (
            distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        ):
            raise Refused("there is one process: nothing is exchanged")
        owner = torch.nn.parallel.DistributedDataParallel
        scaler = getattr(torch.amp, "GradScaler", None)
        found = [
            one for one in gc.get_objects() if issubclass(type(one), (owner, *((scaler,) if scaler else ())))
        ]
        self.modules = [one for one in found if isinstance(one, owner)]
        if not self.modules:
            raise Refused("gradients are exchanged without DistributedDataParallel")
        if any(not isinstance(one, owner) and one.is_enabled() for one in found):
            raise Refused("a GradScaler would skip steps on some ranks only")
        if any(getattr(one._join_config, "enable", False) for one in self.modules):
            raise Refused("ranks take different numbers of steps (join)")
        if not all(one.require_backward_grad_sync for one in self.modules):
            raise Refused("the exchange is off at the step's boundary already")

    def remove(self) -> None:
        """Exchange nothing from now on."""
        super().remove()
        for one in self.modules:
            one.require_backward_grad_sync = False

    def give_back(self) -> None:
        """Exchange again."""
        if self.removed:
            super().give_back()
            for one in self.modules:
                one.require_backward_grad_sync = True

    def close(self) -> None:
        """Exchange again and let go of the modules."""
        super().close()
        self.modules = []

    def facts(self) -> dict[str, Any]:
        """Return how many modules exchange."""
        return {"modules": len(self.modules)}
