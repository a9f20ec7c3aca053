"""What an update works on: class and settings of each optimizer, and the shapes of its parameters, as plain data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

_MOST_KINDS = 4_000  # distinct shapes of one optimizer; beyond, it is not told
_MOST_OPTIMIZERS = 8


def told(torch: Any, optimizers: Iterable[Any]) -> list[dict[str, Any]]:
    """Return one row for each optimizer of torch.optim whose groups plain data can tell.

    ``name`` of its class; ``groups``, each with ``settings`` (numbers and flags by name) and ``shapes``: rows of
    (shape, dtype, how many parameters are of that kind).
    """
    found = []
    for optimizer in list(optimizers)[:_MOST_OPTIMIZERS]:
        if type(optimizer).__module__.startswith("torch.optim."):
            groups = [_group(torch, group) for group in optimizer.param_groups]
            if all(group is not None for group in groups):
                found.append({"name": type(optimizer).__name__, "groups": groups})
    return found


def _group(torch: Any, group: dict[str, Any]) -> dict[str, Any] | None:
    """Return a group of parameters; None where a setting is a tensor, or there are too many kinds of shapes."""
    kinds: dict[tuple[tuple[int, ...], str], int] = {}
    for tensor in group["params"]:
        kind = (tuple(int(n) for n in tensor.shape), str(tensor.dtype).removeprefix("torch."))
        kinds[kind] = kinds.get(kind, 0) + 1
    settings = {name: value for name, value in group.items() if name != "params"}
    if len(kinds) > _MOST_KINDS or any(isinstance(value, torch.Tensor) for value in settings.values()):
        return None
    return {
        "settings": {name: value for name, value in settings.items() if _is_plain(value)},
        "shapes": [[list(shape), dtype, count] for (shape, dtype), count in kinds.items()],
    }


def _is_plain(value: Any) -> bool:
    """Return whether JSON can hold a setting: a number, a flag, or a few of them, as betas."""
    if value is None or isinstance(value, (bool, int)):
        return True
    if isinstance(value, (tuple, list)):
        return len(value) <= 4 and all(_is_plain(one) for one in value)
    return isinstance(value, float) and math.isfinite(value)
