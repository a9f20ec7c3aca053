"""Lets float32 matrix products be computed from rounded numbers: TF32 on a GPU, bfloat16 on a CPU that has it."""

from __future__ import annotations

from typing import Any

from .around import AroundRoots
from .autocast import lacks_bfloat16
from .base import Refused
from .wrapped import device_of

_PRECISIONS = ("highest", "high", "medium")  # what the setting ``precision`` counts


class Matmul(AroundRoots):
    """Sets ``torch.set_float32_matmul_precision`` at the first step, when the script has made its own settings."""

    name = "matmul"
    known = ("tf32", "precision")

    def check(self) -> None:
        """Look at the numbers. May raise ``Refused``."""
        number = self.whole("precision")
        if number is not None and number >= len(_PRECISIONS):
            raise Refused("matmul: precision is 0 (highest), 1 (high) or 2 (medium)")
        default = "high" if self.switch("tf32") is not False else "highest"
        self.precision = default if number is None else _PRECISIONS[number]

    def first(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Set the precision. May raise ``Refused``."""
        reason = lacks(self.torch, device_of(module).type, self.precision)
        if reason:
            raise Refused(reason)
        self.previous = self.torch.get_float32_matmul_precision()
        if self.previous == self.precision:
            raise Refused(f"the precision is {self.precision} already")
        self.torch.set_float32_matmul_precision(self.precision)

    def settled(self, module: Any) -> None:
        """Tell of the change."""
        self.tell.applied(f"the precision of float32 matrix products is {self.precision}")

    def undo(self, module: Any) -> None:
        """Set the precision of before."""
        previous, self.previous = getattr(self, "previous", None), None
        if previous is not None:
            self.torch.set_float32_matmul_precision(previous)


def lacks(torch: Any, kind: str, precision: str) -> str:
    """Return why ``precision`` gains nothing on devices of this kind, or nothing."""
    if kind == "cuda":
        if not torch.version.cuda:
            return "TF32 is a format of NVIDIA GPUs"
        if torch.cuda.get_device_capability() < (8, 0):  # Ampere
            return "this GPU has no TF32 (compute capability below 8.0)"
        return ""
    if kind == "cpu":
        if precision == "high":
            return "TF32 is a format of GPUs, and the model is on the CPU"
        return lacks_bfloat16(torch, kind) if precision == "medium" else ""
    return f"it was not tried on {kind}"
