"""Copies batches that a loader pinned to the GPU without waiting for each copy."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from .. import dynamo
from ..hooks import Hooks, dress
from .base import Override, Refused, Tell
from .nested import change

_BATCHES = 16  # whose memory is remembered: libraries fetch one to four ahead

_to: Callable[..., Any]
_cuda: Callable[..., Any]
_is_compiling: Callable[[], bool]
_acts: Callable[[Any], bool]


class NonBlocking(Override):
    """Sets ``non_blocking`` for copies of pinned batches to a GPU, and for no others.

    Only memory that a DataLoader pinned is trusted: a buffer of the script's own may be written again while it is being
    copied. From a GPU to the host nothing is changed, as the script would read what has not arrived.
    """

    name = "non_blocking"

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Patch what copies, and what hands out batches. May raise ``Refused``."""
        global _to, _cuda, _is_compiling, _acts
        if not torch.version.cuda and not getattr(torch.version, "hip", None):
            raise Refused("this torch is built for the CPU: nothing is copied")
        self.torch, self.tell = torch, tell
        self.recent: deque[frozenset[int]] = deque(maxlen=_BATCHES)
        _is_compiling = dynamo.is_compiling(torch)
        _to, _cuda, _acts = torch.Tensor.to, torch.Tensor.cuda, self._from_loader
        hooks.patch(torch.Tensor, "to", dress(tensor_to, _to))
        hooks.patch(torch.Tensor, "cuda", dress(tensor_cuda, _cuda))
        import torch.utils.data.dataloader as module

        owner = module._BaseDataLoaderIter
        original = owner.__next__

        def __next__(iterator: Any) -> Any:
            batch = original(iterator)
            if getattr(iterator, "_pin_memory", False):
                tell.attempt(lambda: self._remember(batch), None)
            return batch

        hooks.patch(owner, "__next__", dress(__next__, original))

    def _remember(self, batch: Any) -> None:
        """Remember the memory of a batch."""
        found: list[int] = []

        def look(tensor: Any) -> Any:
            if tensor.is_pinned():
                found.append(tensor.untyped_storage().data_ptr())
            return tensor

        change(batch, self.torch.Tensor, look)
        self.recent.append(frozenset(found))

    def _from_loader(self, tensor: Any) -> bool:
        """Return whether ``tensor`` is part of a batch that a loader pinned, and tell of the change."""
        pointer = tensor.untyped_storage().data_ptr()
        if not any(pointer in one for one in self.recent):
            return False
        self.tell.applied("the copy is non_blocking")
        return True


def tensor_to(self: Any, *args: Any, **kwargs: Any) -> Any:
    """``Tensor.to``, not waiting for a pinned batch on its way to a GPU."""
    if _is_compiling() or self.device.type != "cpu" or not to_cuda(args, kwargs):
        return _to(self, *args, **kwargs)
    if len(args) > 1 and isinstance(
        args[-1], bool
    ):  # positional, behind device or dtype: the script's own words
        return _to(self, *args, **kwargs)
    if not kwargs.get("non_blocking") and self.is_pinned() and _acts(self):
        kwargs["non_blocking"] = True
    return _to(self, *args, **kwargs)


def tensor_cuda(self: Any, *args: Any, **kwargs: Any) -> Any:
    """``Tensor.cuda``, not waiting for a pinned batch."""
    if _is_compiling() or len(args) > 1 or self.device.type != "cpu":
        return _cuda(self, *args, **kwargs)
    if not kwargs.get("non_blocking") and self.is_pinned() and _acts(self):
        kwargs["non_blocking"] = True
    return _cuda(self, *args, **kwargs)


def to_cuda(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether the arguments of ``Tensor.to`` name a GPU: as text, number, device, or another tensor's."""
    for value in (*args[:1], kwargs.get("device"), kwargs.get("other")):
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int):
            return True
        if isinstance(value, str):
            return value.startswith("cuda")
        value = getattr(value, "device", value)
        if getattr(value, "type", None) == "cuda":
            return True
    return False
