"""Stores convolution weights and images with the channels innermost."""

from __future__ import annotations

from typing import Any

from ..hooks import Hooks
from .around import AroundRoots
from .base import Refused, Tell
from .nested import change_inputs
from .wrapped import before_ddp, is_ddp, is_sharded


class ChannelsLast(AroundRoots):
    """Converts 4-D weights in place, so that parameters stay the objects they are, and 4-D inputs at each call.

    Dropout on images fills its mask in the order of memory: with it, other elements are dropped than before.
    """

    name = "channels_last"
    around = True

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Wait for the first root, or for DDP to wrap one."""
        super().install(torch, hooks, tell)
        self.converted: dict[int, list[Any]] = {}
        before_ddp(torch, hooks, lambda module: tell.attempt(lambda: self._convert(module), None))

    def first(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Convert the weights of a root. May raise ``Refused``."""
        if is_sharded(module):
            raise Refused("its parameters are sharded: they have to be converted before they are wrapped")
        if is_ddp(self.torch, module):
            if not self._weights(module):
                raise Refused("the model has no 2-D convolution")
            return
        self._convert(module)

    def settled(self, module: Any) -> None:
        """Tell of the change; from here on nothing is taken back."""
        self.converted.pop(id(module), None)
        self.tell.applied(f"{type(module).__name__} and its inputs are stored channels last")

    def before(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the inputs with images channels last."""
        return change_inputs(args, kwargs, self.torch.Tensor, self._image)

    def undo(self, module: Any) -> None:
        """Store the weights as before; their values never changed."""
        for parameter in self.converted.pop(id(module), ()):
            self._store(parameter, self.torch.contiguous_format)

    def _weights(self, module: Any) -> list[Any]:
        """Return the weights of 2-D convolutions."""
        nn = self.torch.nn
        kinds = (nn.Conv2d, nn.ConvTranspose2d)
        return [one.weight for one in module.modules() if isinstance(one, kinds) and one.weight.dim() == 4]

    def _convert(self, module: Any) -> None:
        """Store the weights channels last. May raise ``Refused``."""
        weights = self._weights(module)
        if not weights:
            raise Refused("the model has no 2-D convolution")
        other = [one for one in weights if not one.is_contiguous(memory_format=self.torch.channels_last)]
        if not other:
            raise Refused("the convolutions are stored channels last already")
        self.converted[id(module)] = other
        for weight in other:
            self._store(weight, self.torch.channels_last)

    def _store(self, parameter: Any, layout: Any) -> None:
        """Store a parameter, and its gradient if it has one, in another order."""
        parameter.data = parameter.data.contiguous(memory_format=layout)
        if parameter.grad is not None:
            parameter.grad.data = parameter.grad.data.contiguous(memory_format=layout)

    def _image(self, tensor: Any) -> Any:
        """Return a 4-D tensor of numbers with a fraction channels last, any other as it is."""
        if tensor.dim() != 4 or not tensor.is_floating_point() or tensor.layout != self.torch.strided:
            return tensor
        return tensor.contiguous(memory_format=self.torch.channels_last)
