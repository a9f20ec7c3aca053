"""What an operator was called with, as plain data: enough to call it again elsewhere on tensors of the same kind.

No value of a tensor is kept, only shape, strides, dtype, and whether it is a weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from .formulas import storage_of

_MOST_TENSORS = 48  # of one call; multi-tensor updates hold thousands, and updates are told elsewhere
_MOST_DIMS = 8


class _Unknown(Exception):
    """An argument that plain data can't tell."""


def weight_storages(torch: Any, optimizers: Iterable[Any]) -> frozenset[int]:
    """Return what tells the memory of the parameters that ``optimizers`` update."""
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    tensors = (tensor for group in groups for tensor in group["params"])
    found = {storage_of(tensor) for tensor in tensors if isinstance(tensor, torch.Tensor)}
    return frozenset(found - {0})


def describe(torch: Any, func: Any, args: Any, kwargs: Any, weights: frozenset[int]) -> dict[str, Any] | None:
    """Return operator and arguments of one call, None where they can't be told.

    ``op`` and ``overload`` name it below ``torch.ops.aten``; ``args`` and ``kwargs`` hold numbers, texts and lists as
    they are, a tensor as {"t": shape, "s": strides, "d": dtype, "w": 1 for a weight}, a dtype as {"dtype": name}.
    """
    schema = getattr(func, "_schema", None)
    space, _, name = str(getattr(schema, "name", "")).partition("::")
    if schema is None or space != "aten":
        return None
    told = _Teller(torch, weights)
    try:
        return {
            "op": name,
            "overload": schema.overload_name or "default",
            "args": [told.value(one) for one in args],
            "kwargs": {key: told.value(one) for key, one in kwargs.items() if one is not None},
        }
    except _Unknown:
        return None


class _Teller:
    """Tells the arguments of one call."""

    def __init__(self, torch: Any, weights: frozenset[int]) -> None:
        """Know weights by their storages."""
        self.torch = torch
        self.weights = weights
        self.tensors = 0

    def value(self, value: Any) -> Any:
        """Return one argument as plain data; raise ``_Unknown`` for what has none."""
        torch = self.torch
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, (list, tuple)):
            return [self.value(one) for one in value]
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        return _number(value)

    def _tensor(self, tensor: Any) -> dict[str, Any]:
        """Return a tensor's kind."""
        self.tensors += 1
        strided = (
            tensor.layout == self.torch.strided and not tensor.is_quantized and tensor.dim() <= _MOST_DIMS
        )
        if self.tensors > _MOST_TENSORS or not strided:
            raise _Unknown
        told = {
            "t": [int(n) for n in tensor.shape],
            "s": [int(n) for n in tensor.stride()],
            "d": str(tensor.dtype).removeprefix("torch."),
        }
        return told | {"w": 1} if storage_of(tensor) in self.weights else told


def _number(value: Any) -> Any:
    """Return a number that JSON can hold."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _Unknown
