"""Keeps activations that a script computes again in backward."""

from __future__ import annotations

from typing import Any

from .. import dynamo
from ..hooks import Hooks, dress
from .base import Override, Refused, Tell

_OWN = ("use_reentrant", "context_fn", "determinism_check", "debug", "early_stop", "preserve_rng_state")


class Checkpointing(Override):
    """Makes ``torch.utils.checkpoint.checkpoint`` call the function directly; the sequential form goes through it.

    Random numbers of the forward pass are drawn once either way: what a checkpoint restores, it restores in backward.
    """

    name = "checkpointing"
    known = ("off",)

    def check(self) -> None:
        """Refuse to turn checkpointing on. May raise ``Refused``."""
        if self.switch("off") is False:
            raise Refused("checkpointing can only be taken off: where to put it is the script's choice")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Patch the one function that all ways into a checkpoint share."""
        import torch.utils.checkpoint as module

        self.torch, self.tell = torch, tell
        self.context = getattr(module, "noop_context_fn", None)
        self.memory = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)
        self.full = False  # the memory did not suffice
        original, is_compiling = module.checkpoint, dynamo.is_compiling(torch)

        def checkpoint(function: Any, *args: Any, **kwargs: Any) -> Any:
            if self.full:
                return original(function, *args, **kwargs)
            if is_compiling():
                return function(*args, **_rest(kwargs))
            if not self.tell.attempt(lambda: self._tell_of(args, kwargs), False):
                return original(function, *args, **kwargs)
            try:
                return function(*args, **_rest(kwargs))
            except self.memory:
                self.full = True
            self.tell.refused("the memory does not suffice without it")
            return original(function, *args, **kwargs)

        hooks.patch(module, "checkpoint", dress(checkpoint, original))

    def _tell_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Tell that a checkpoint is left out; return True. May raise ``Refused``."""
        if kwargs.get("context_fn", self.context) is not self.context:
            raise Refused("the checkpoint has a context_fn, which may do more than save memory")
        if not self.torch.is_grad_enabled():
            return True
        if kwargs.get("use_reentrant") is not False and not any(
            isinstance(one, self.torch.Tensor) and one.requires_grad for one in args
        ):
            raise Refused("no input of the reentrant checkpoint needs a gradient: parameters inside get none")
        if kwargs.get("preserve_rng_state", True):
            self.tell.applied("the function runs without a checkpoint")
        else:
            self.tell.applied("the function runs without a checkpoint, which drew random numbers in backward")
        return True


def _rest(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that are the function's."""
    return {name: value for name, value in kwargs.items() if name not in _OWN}
