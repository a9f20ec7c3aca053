"""Removes the copies of batches to the device: copies made before are used again."""

from __future__ import annotations

from collections import deque
from typing import Any

from ..hooks import dress
from .arm import Arm, Invalid, Refused
from .copies import state

_FEW = 8  # copies in turn of one shape, as for batches
_MOST = 512  # shapes that are told apart; beyond that tensors are copied as ever


class Transfer(Arm):
    """``Tensor.to`` and ``Tensor.cuda`` of a tensor that was copied before return an earlier copy of the same shape.

    The script still makes its batches and hands them over; only the numbers that arrive are older.
    """

    def check(self) -> None:
        """Start with no copy."""
        self.copies: dict[Any, deque[tuple[Any, Any]]] = {}
        self.given: list[tuple[Any, Any]] = []
        self.reused = 0

    def prepare(self) -> None:
        """Stand in front of the methods that copy."""
        tensor = self.setting.torch.Tensor
        for name in ("to", "cuda"):
            original = getattr(tensor, name)
            self.setting.hooks.patch(tensor, name, dress(self._copies(original, name), original))

    def remove(self) -> None:
        """Copy nothing that was copied before."""
        if not self.copies:
            raise Refused("no batch is copied to a device")
        if any(state(copy) != before for known in self.copies.values() for copy, before in known):
            raise Refused("the step changes its copies on the device in place")
        super().remove()

    def after_step(self, ordinary: bool) -> None:
        """Check that the step left the copies as they were."""
        given, self.given = self.given, []
        if any(state(copy) != before for copy, before in given):
            raise Invalid("the step changes its copies on the device in place")

    def close(self) -> None:
        """Let go of the copies."""
        super().close()
        self.copies.clear()
        self.given.clear()

    def facts(self) -> dict[str, Any]:
        """Return how many copies were spared."""
        return {"reused": self.reused}

    def _copies(self, original: Any, name: str) -> Any:
        """Return the method ``original``, its copies kept or used again."""
        compiling = self.setting.torch.compiler.is_compiling

        def copy(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            if compiling() or tensor.device.type != "cpu" or tensor.requires_grad:
                return original(tensor, *args, **kwargs)
            key = self._key(name, tensor, args, kwargs)
            known = self.copies.get(key)
            if self.removed and known:
                known.rotate(1)
                self.given.append(known[0])
                self.reused += 1
                return known[0][0]
            result = original(tensor, *args, **kwargs)
            if (
                result.device.type != "cpu"
                and key is not None
                and len(self.copies) < _MOST
                and not self.removed
            ):
                self.copies.setdefault(key, deque(maxlen=_FEW)).append((result, state(result)))
            return result

        return copy

    def _key(self, name: str, tensor: Any, args: Any, kwargs: Any) -> Any:
        """Return what two copies must agree in to stand for each other, None where that can't be told."""
        options = (*args, *(value for _, value in sorted(kwargs.items())))
        if any(isinstance(value, self.setting.torch.Tensor) for value in options):
            return None
        return name, type(tensor), tuple(tensor.shape), tensor.dtype, tensor.stride(), str(args), str(kwargs)
