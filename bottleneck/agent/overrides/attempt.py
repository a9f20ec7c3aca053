"""What a call of a module changes besides returning: kept before it, so that it can be made again."""

from __future__ import annotations

import random
import sys
from typing import Any


class Kept:
    """Random states and buffers as they are now. Reading them draws no number."""

    def __init__(self, torch: Any, module: Any) -> None:
        """Copy what a call of ``module`` may change."""
        self.torch = torch
        self.buffers = [
            (buffer, buffer.detach().clone())
            for buffer in module.buffers()
            if not torch.nn.parameter.is_lazy(buffer)
        ]
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        self.python = random.getstate()
        numpy = sys.modules.get("numpy.random")
        self.numpy = None if numpy is None else numpy.get_state()

    def restore(self) -> None:
        """Put everything back."""
        with self.torch.no_grad():
            for buffer, value in self.buffers:
                buffer.copy_(value)
        self.torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            self.torch.cuda.set_rng_state_all(self.cuda)
        random.setstate(self.python)
        if self.numpy is not None:
            sys.modules["numpy.random"].set_state(self.numpy)
