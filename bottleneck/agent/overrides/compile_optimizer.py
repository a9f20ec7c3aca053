"""Compiles the update: one kernel for many small tensors where there were several each."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

from ..hooks import Hooks, dress
from . import compiler
from .around import first_lines
from .base import Override, Refused, Tell

_PLAIN = 2  # steps before compiling: they make the state, which would compile again when it comes


class CompileOptimizer(Override):
    """Compiles ``step`` of each optimizer class; hooks and what schedulers wrap around it stay outside.

    A rate that changes is compiled again once, as a number that varies; up to torch 2.5 once for each value.
    """

    name = "compile_optimizer"
    backend: ClassVar[str] = "inductor"  # tests take one that generates no code

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Wrap the step of every optimizer class when one of it is made."""
        self.torch, self.tell = torch, tell
        self.steps: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self.left: weakref.WeakSet[Any] = weakref.WeakSet()  # which stay as they are
        self.codes: dict[Any, Callable[..., Any]] = {}
        owner = torch.optim.Optimizer
        original, done = owner._patch_step_function, self.codes

        def _patch_step_function(optimizer: Any) -> None:
            original(optimizer)
            cls = type(optimizer)
            step = getattr(cls.step, "__wrapped__", None)
            if (
                step is None
                or getattr(step, "__wrapped__", None) in done
                or not hasattr(owner, "profile_hook_step")
            ):
                return
            # Unwrapped, so that nobody (Lightning wraps it, too) takes it for a call of the script's.
            done[step] = inspect.unwrap(torch.compile)(step, backend=self.backend)
            hooked = owner.profile_hook_step(dress(self._wrapped(step), step))
            hooked.hooked = True
            hooks.patch(cls, "step", hooked)

        hooks.patch(owner, "_patch_step_function", dress(_patch_step_function, original))

    def _wrapped(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``step`` with compiled code in its place where that fits."""

        def compiled_step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if optimizer in self.left:
                return step(optimizer, *args, **kwargs)
            count = self.steps[optimizer] = self.steps.get(optimizer, 0) + 1
            if count > _PLAIN + 1:
                return self.codes[step](optimizer, *args, **kwargs)
            if count == 1 and not self.tell.attempt(lambda: self._fits(optimizer, args, kwargs), False):
                self.left.add(optimizer)
            if count <= _PLAIN:
                return step(optimizer, *args, **kwargs)
            return self._first(optimizer, step)

        return compiled_step

    def _fits(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Return True. Raises ``Refused`` where the update is not to be compiled."""
        if any(one is not None for one in (*args, *kwargs.values())):
            raise Refused("the step runs a closure, and with it the model")
        if any(group.get("fused") for group in optimizer.param_groups):
            raise Refused("the optimizer is fused already")
        kinds = {one.device.type for group in optimizer.param_groups for one in group["params"]}
        reason = compiler.lacks(
            self.torch, "cuda" if "cuda" in kinds else min(kinds, default="cpu"), self.backend
        )
        if reason:
            raise Refused(reason)
        return True

    def _first(self, optimizer: Any, step: Callable[..., Any]) -> Any:
        """Make the first compiled step; where it fails, put parameters and state back and make it as it was."""
        tensors = [one for group in optimizer.param_groups for one in group["params"]]
        tensors += [
            value
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, self.torch.Tensor)
        ]
        kept = [one.detach().clone() for one in tensors]
        try:
            result = self.codes[step](optimizer)
        except Exception as error:
            self.left.add(optimizer)
            self.tell.refused(f"the compiled step fails: {first_lines(error)}")
        else:
            self.tell.applied(f"the step of {type(optimizer).__name__} is compiled")
            return result
        with self.torch.no_grad():
            for tensor, value in zip(tensors, kept, strict=True):
                tensor.copy_(value)
        return step(optimizer)
