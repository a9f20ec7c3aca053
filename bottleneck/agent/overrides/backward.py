"""Calls overrides back just before the autograd engine runs: one wrapper for all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import dynamo
from ..hooks import Hooks, dress

_calls: list[Callable[[], None]] = []
_original: Callable[..., Any]


def run_backward(*args: Any, **kwargs: Any) -> Any:
    """Run the engine after telling those who asked."""
    for call in tuple(_calls):
        call()
    return _original(*args, **kwargs)


def on_backward(torch: Any, hooks: Hooks, call: Callable[[], None]) -> None:
    """Call ``call()`` before every backward pass; it must not raise."""
    global _original
    if not _calls:
        _original = torch.autograd._engine_run_backward
        hooks.patch(torch.autograd, "_engine_run_backward", dress(run_backward, _original))
        dynamo.keep_out()
    _calls.append(call)
    hooks.on_undo(partial(_calls.remove, call))
