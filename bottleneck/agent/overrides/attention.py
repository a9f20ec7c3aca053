"""Lets ``nn.MultiheadAttention`` use the fused kernel where nobody reads the weights it returns."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import dynamo
from ..hooks import Hooks, dress
from .base import Tell
from .nested import change

_UNREAD = 2  # training calls whose weights were not read before they are left out


class _Seen:
    """What was seen of one attention module.

    Attributes:
        unread: Calls in a row whose weights nobody read or kept.
        last: The weights of the last call, dead once nobody holds them.
        read: Somebody read or kept weights: they stay.
        told: What came of it was told.
    """

    __slots__ = ("last", "read", "told", "unread")

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.unread = 0
        self.last: Callable[[], Any] = _nothing
        self.read = self.told = False


class Weights:
    """Asks attention modules for no weights once it is known that the script drops them.

    Weights of the first training calls are real, in a class that notes each operation on them; those still held by
    somebody at the module's next call count as read.
    """

    def __init__(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Patch ``nn.MultiheadAttention.forward``."""
        self.torch, self.tell = torch, tell
        self.seen: weakref.WeakKeyDictionary[Any, _Seen] = weakref.WeakKeyDictionary()
        self.noting = _noting_class(torch)
        owner = torch.nn.MultiheadAttention
        original = owner.forward
        signature, is_compiling = inspect.signature(original), dynamo.is_compiling(torch)

        def forward(module: Any, *args: Any, **kwargs: Any) -> Any:
            if is_compiling() or not module.training:
                return original(module, *args, **kwargs)
            bound = signature.bind(module, *args, **kwargs)
            one = self._known(module) if bound.arguments.get("need_weights", True) else None
            if one is None or one.read:
                return original(module, *args, **kwargs)
            if one.unread < _UNREAD:
                output, weights = original(module, *args, **kwargs)
                return output, tell.attempt(lambda: self._noted(one, weights), weights)
            if not one.told:
                one.told = True
                tell.attempt(partial(tell.applied, "attention without weights, which nobody reads"), None)
            bound.arguments["need_weights"] = False
            return original(*bound.args, **bound.kwargs)

        hooks.patch(owner, "forward", dress(forward, original))

    def used(self) -> bool:
        """Return whether an attention module with weights was called."""
        return bool(self.seen)

    def _known(self, module: Any) -> _Seen:
        """Return what is known of a module that is called again."""
        one = self.seen.get(module)
        if one is None:
            one = self.seen[module] = _Seen()
            return one
        if one.unread < _UNREAD and not one.told:
            one.read = one.read or one.last() is not None
            one.unread += not one.read
            if one.read:
                one.told = True
                self.tell.attempt(
                    partial(self.tell.refused, "the script reads or keeps the attention weights"), None
                )
        return one

    def _noted(self, one: _Seen, weights: Any) -> Any:
        """Return the weights in a class that notes who reads them."""
        if weights is None:
            return None
        noted = weights.as_subclass(self.noting)
        noted.noted_by = one
        one.last = weakref.ref(noted)
        return noted


def _nothing() -> None:
    """Stand for weights that are gone."""


def _noting_class(torch: Any) -> Any:
    """Return a class of tensors that tell their ``noted_by`` of every operation."""

    class Noting(torch.Tensor):  # type: ignore[misc]
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            change((args, kwargs or {}), cls, _mark)
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))

    return Noting


def _mark(tensor: Any) -> Any:
    """Note that somebody read ``tensor``."""
    one = getattr(tensor, "noted_by", None)
    if one is not None:
        one.read = True
    return tensor
