"""Times the torch.distributed calls a script makes itself; what DDP does in C++ lies inside backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import kinds
from .hooks import Hooks, dress
from .recorder import Recorder, now

_NAMES = (
    "all_reduce",
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "gather",
    "gather_object",
    "recv",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_tensor",
    "scatter",
    "send",
)


def install(torch: Any, hooks: Hooks, recorder: Recorder) -> None:
    """Patch the collectives in torch.distributed and in the module that defines them."""
    distributed = torch.distributed
    if not distributed.is_available():
        return
    inside = [False]
    defining = distributed.distributed_c10d
    for name in _NAMES:
        original = getattr(defining, name, None)
        if original is None:
            continue
        replacement = _timed(original, name, recorder, inside)
        hooks.patch(defining, name, replacement)
        if getattr(distributed, name, None) is original:
            hooks.patch(distributed, name, replacement)


def _timed(original: Callable[..., Any], name: str, recorder: Recorder, inside: list[bool]) -> Any:
    """Return ``original`` timed; collectives built on others count once."""

    def collective(*args: Any, **kwargs: Any) -> Any:
        if inside[0]:
            return original(*args, **kwargs)
        inside[0] = True
        start = now()
        try:
            return original(*args, **kwargs)
        finally:
            inside[0] = False
            recorder.span(kinds.COLLECTIVE, start, now(), 0, recorder.name(name), _bytes_of(args, kwargs))

    return dress(collective, original)


def _bytes_of(args: Any, kwargs: Any) -> int:
    """Return the bytes of the first tensor argument, 0 where there is none."""
    for value in (*args[:1], kwargs.get("tensor"), kwargs.get("output"), kwargs.get("input")):
        try:
            return int(value.numel() * value.element_size())
        except (AttributeError, TypeError):
            continue
    return 0
