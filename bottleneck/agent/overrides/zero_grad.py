"""Gradients that are dropped instead of filled with zeros."""

from __future__ import annotations

import weakref
from typing import Any

from ..hooks import Hooks, dress
from .base import Override, Refused, Tell

_LOOKED_AT = 8  # calls in which it is checked that every parameter gets a gradient at every step


class ZeroGrad(Override):
    """Calls ``zero_grad`` with ``set_to_none``.

    A parameter without a gradient is skipped by the optimizer, one with zeros is not (momentum, weight decay). So
    the first steps are looked at: where a parameter gets none in one of them, nothing is changed any more.
    """

    name = "zero_grad"
    known = ("set_to_none",)

    def check(self) -> None:
        """Read the setting."""
        if not self.switch("set_to_none"):
            raise Refused("zero_grad: there is nothing to set")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Patch the method of optimizers and the one of modules."""
        self.tell = tell
        self.calls: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self.had: weakref.WeakKeyDictionary[Any, set[int]] = weakref.WeakKeyDictionary()
        self.given_up = False
        self._patch(torch.optim.Optimizer, _of_optimizer, hooks)
        self._patch(torch.nn.Module, lambda module: list(module.parameters()), hooks)

    def _patch(self, owner: Any, parameters: Any, hooks: Hooks) -> None:
        """Change calls of ``owner.zero_grad`` that ask for zeros."""
        original, tell = owner.zero_grad, self.tell

        def zero_grad(one: Any, set_to_none: bool = True) -> Any:
            if set_to_none or self.given_up:
                return original(one, set_to_none)
            changed = tell.attempt(lambda: self._change(one, parameters), False)
            return original(one, changed)

        hooks.patch(owner, "zero_grad", dress(zero_grad, original))

    def _change(self, one: Any, parameters: Any) -> bool:
        """Return True, the value of ``set_to_none`` from now on. May raise ``Refused``."""
        calls = self.calls[one] = self.calls.get(one, 0) + 1
        if calls <= _LOOKED_AT:
            self._look(one, parameters(one))
        self.tell.applied("zero_grad: set_to_none False -> True")
        return True

    def _look(self, one: Any, parameters: list[Any]) -> None:
        """Refuse where a parameter that had a gradient in an earlier step has none in this one."""
        had = self.had.setdefault(one, set())
        now = {number for number, value in enumerate(parameters) if value.grad is not None}
        missing = had - now
        if not missing:
            had |= now
            return
        self.given_up = True
        for number in missing:  # what the script would have found
            parameters[number].grad = parameters[number].detach().new_zeros(parameters[number].shape)
        raise Refused("a parameter without a gradient in a step would be skipped by the optimizer")


def _of_optimizer(optimizer: Any) -> list[Any]:
    """Return the parameters of an optimizer."""
    return [value for group in optimizer.param_groups for value in group["params"]]
