"""Changes the tensors inside of what a module is given or returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_DEPTH = 8  # containers in containers; deeper ones are left as they are


def change(value: Any, tensor_class: type, call: Callable[[Any], Any], depth: int = _DEPTH) -> Any:
    """Return ``value`` with ``call`` applied to the tensors in its tuples, lists and dicts.

    Returns:
        The same object where no tensor was changed; containers of other kinds are left as they are.
    """
    if isinstance(value, tensor_class):
        return call(value)
    if depth == 0:
        return value
    if isinstance(value, (tuple, list)):
        changed = [change(one, tensor_class, call, depth - 1) for one in value]
        if all(new is old for new, old in zip(changed, value, strict=True)):
            return value
        return type(value)(*changed) if hasattr(value, "_fields") else type(value)(changed)
    if isinstance(value, dict):
        values = {name: change(one, tensor_class, call, depth - 1) for name, one in value.items()}
        if all(values[name] is value[name] for name in value):
            return value
        return type(value)(values)
    return value


def change_inputs(
    args: tuple[Any, ...], kwargs: dict[str, Any], tensor_class: type, call: Callable[[Any], Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a call's arguments with ``call`` applied to every tensor."""
    changed = tuple(change(one, tensor_class, call) for one in args)
    return changed, {name: change(one, tensor_class, call) for name, one in kwargs.items()}
