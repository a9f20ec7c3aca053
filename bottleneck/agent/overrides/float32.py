"""Computes in float32 what a script computes in float64, most often by accident."""

from __future__ import annotations

import gc
from typing import Any

from ..hooks import Hooks
from .around import AroundRoots
from .base import Refused, Tell
from .nested import change, change_inputs
from .wrapped import before_ddp, is_ddp, is_sharded


class Float32(AroundRoots):
    """Converts parameters and buffers in place, and what goes into a root and comes out of it.

    What comes out is float64 again: a loss may refuse to mix it with targets of float64. The default dtype is
    float32 while a root computes, for the constants it makes.
    """

    name = "float32"
    around = True

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Wait for the first root, or for DDP to wrap one."""
        super().install(torch, hooks, tell)
        self.kept: dict[int, list[tuple[Any, Any, Any]]] = {}
        self.default: Any = None
        before_ddp(torch, hooks, lambda module: tell.attempt(lambda: self._convert(module), None))

    def first(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Convert a root and the state its optimizers have. May raise ``Refused``."""
        if is_sharded(module):
            raise Refused("its parameters are sharded: they have to be converted before they are wrapped")
        if not is_ddp(self.torch, module):
            self._convert(module)
        elif any(one.dtype == self.torch.float64 for one in module.parameters()):
            raise Refused("the parameters became float64 after DDP wrapped them")

    def settled(self, module: Any) -> None:
        """Convert the state of optimizers and tell; from here on nothing is taken back."""
        kept = self.kept.pop(id(module), [])
        self._convert_states({id(tensor) for tensor, _, _ in kept})
        self.tell.applied(f"{type(module).__name__} computes in float32")

    def before(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the inputs in float32."""
        torch = self.torch
        self.default = torch.get_default_dtype()
        if self.default == torch.float64:
            torch.set_default_dtype(torch.float32)
        return change_inputs(args, kwargs, torch.Tensor, self._narrow)

    def after(self, module: Any, result: Any) -> Any:
        """Return the outputs in float64, as the script expects them."""
        return change(result, self.torch.Tensor, self._widen)

    def leave(self, module: Any, done: bool) -> None:
        """Give the script its default dtype back."""
        if self.default == self.torch.float64:
            self.torch.set_default_dtype(self.torch.float64)

    def undo(self, module: Any) -> None:
        """Put back the very numbers, as narrowing them lost digits."""
        for tensor, data, gradient in self.kept.pop(id(module), ()):
            tensor.data = data
            tensor.grad = gradient

    def _convert(self, module: Any) -> None:
        """Convert every float64 parameter and buffer in place. May raise ``Refused``."""
        if not any(one.dtype == self.torch.float64 for one in module.parameters()):
            raise Refused("no parameter is float64")
        kept = self.kept[id(module)] = []
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.dtype != self.torch.float64:
                continue
            kept.append((tensor, tensor.data, tensor.grad))
            gradient, tensor.grad = tensor.grad, None
            tensor.data = tensor.data.float()  # frees what autograd keeps about the old type
            tensor.grad = None if gradient is None else gradient.float()

    def _convert_states(self, converted: set[int]) -> None:
        """Convert what optimizers loaded before the first step; usually there is nothing yet."""
        owner = self.torch.optim.Optimizer
        for optimizer in [one for one in gc.get_objects() if issubclass(type(one), owner)]:
            for parameter, state in optimizer.state.items():
                if id(parameter) not in converted:
                    continue
                for name, value in state.items():
                    if isinstance(value, self.torch.Tensor) and value.shape == parameter.shape:
                        state[name] = self._narrow(value)

    def _narrow(self, tensor: Any) -> Any:
        """Return a float64 tensor in float32, any other as it is."""
        return tensor.float() if tensor.dtype == self.torch.float64 else tensor

    def _widen(self, tensor: Any) -> Any:
        """Return a float32 tensor in float64, any other as it is."""
        return tensor.double() if tensor.dtype == self.torch.float32 else tensor
