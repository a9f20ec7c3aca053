"""Lets cuDNN search for the fastest kernel of each convolution."""

from __future__ import annotations

from typing import Any

from .around import AroundRoots
from .base import Refused
from .wrapped import device_of


class Cudnn(AroundRoots):
    """Sets ``torch.backends.cudnn.benchmark`` at the first step, when the script has made its own settings."""

    name = "cudnn"
    known = ("benchmark",)

    def check(self) -> None:
        """Look at the switch. May raise ``Refused``."""
        self.wanted = self.switch("benchmark") is not False

    def first(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Set the flag. May raise ``Refused``."""
        flags = self.torch.backends.cudnn
        if device_of(module).type != "cuda":
            raise Refused("the model is not on a GPU")
        if self.wanted and (flags.deterministic or self.torch.are_deterministic_algorithms_enabled()):
            raise Refused("the script asks for deterministic kernels")
        if bool(flags.benchmark) == self.wanted:
            raise Refused(f"the flag is {self.wanted} already")
        flags.benchmark = self.wanted

    def settled(self, module: Any) -> None:
        """Tell of the change."""
        self.tell.applied(f"torch.backends.cudnn.benchmark is {self.wanted}")
