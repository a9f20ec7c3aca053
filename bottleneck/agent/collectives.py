"""Times the torch.distributed calls a script or a library makes, and its waits for asynchronous ones.

What DistributedDataParallel exchanges in C++ is timed in ``data_parallel.py``.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any

from . import kinds
from .groups import Groups
from .hooks import Hooks, dress
from .recorder import Recorder, now

_NAMES = (
    "all_gather",
    "all_gather_coalesced",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_gather_single",
    "all_reduce",
    "all_reduce_coalesced",
    "all_to_all",
    "all_to_all_single",
    "barrier",
    "batch_isend_irecv",
    "broadcast",
    "broadcast_object_list",
    "gather",
    "gather_object",
    "irecv",
    "isend",
    "monitored_barrier",
    "recv",
    "recv_object_list",
    "reduce",
    "reduce_scatter",
    "reduce_scatter_single",
    "reduce_scatter_tensor",
    "scatter",
    "scatter_object_list",
    "send",
    "send_object_list",
    "_broadcast_coalesced",  # DDP: buffers before a forward, parameters once
)
_MOST_OPEN = 4096  # asynchronous calls that nobody has waited for yet
_MOST_TENSORS = 64  # of a list; the rest counts like those


class _Inside(threading.local):
    """Collectives built on others count once, as the outermost one."""

    depth = 0


class Collectives:
    """The wrappers, and the asynchronous calls that are under way."""

    def __init__(self, recorder: Recorder, groups: Groups) -> None:
        """Write to ``recorder``; ``groups`` numbers groups and calls."""
        self.recorder = recorder
        self.groups = groups
        self.inside = _Inside()
        self.open: dict[int, tuple[int, int, int]] = {}  # id of a Work: launched at, name, tag

    def install(self, torch: Any, hooks: Hooks) -> None:
        """Patch the collectives where they are defined and in torch.distributed, and ``Work.wait``."""
        distributed = torch.distributed
        defining = distributed.distributed_c10d
        functional: Any = sys.modules.get("torch.distributed._functional_collectives")
        remaps = getattr(functional, "traceable_collective_remaps", {})
        for name in _NAMES:
            original = getattr(defining, name, None) or getattr(distributed, name, None)
            if original is None:
                continue
            replacement = self._timed(original, name)
            if getattr(defining, name, None) is original:
                hooks.patch(defining, name, replacement)
            if getattr(distributed, name, None) is original:
                hooks.patch(distributed, name, replacement)
            if original in remaps:  # TorchDynamo replaces some of them and looks for the function itself
                remaps[replacement] = remaps[original]
                hooks.on_undo(functools.partial(remaps.pop, replacement, None))
        work = distributed.Work
        hooks.patch(work, "wait", self._waited(work.wait))

    def _timed(self, original: Callable[..., Any], name: str) -> Any:
        """Return ``original`` timed."""
        inside, recorder, at = self.inside, self.recorder, _positions(original)

        def collective(*args: Any, **kwargs: Any) -> Any:
            if inside.depth:
                return original(*args, **kwargs)
            inside.depth = 1
            result = None
            start = now()
            try:
                result = original(*args, **kwargs)
                return result
            finally:
                end = now()
                inside.depth = 0
                try:
                    self._record(name, start, end, result, args, kwargs, at)
                except Exception as error:
                    recorder.failed("collectives", error)

        return dress(collective, original)

    def _record(
        self, name: str, start: int, end: int, result: Any, args: Any, kwargs: Any, at: tuple[int, int, int]
    ) -> None:
        """Write one call; remember what has to be waited for."""
        first, group_at, _ = at
        group = kwargs.get("group", args[group_at] if 0 <= group_at < len(args) else None)
        if name == "_broadcast_coalesced" and args:
            group, first = args[0], 1
        tag = self.groups.tag(group)
        number = self.recorder.name(name.strip("_"))
        flags = 0
        if _asks_async(name, args, kwargs, at) and result is not None:
            flags = kinds.NON_BLOCKING
            if len(self.open) >= _MOST_OPEN:
                self.open.clear()
            for work in result if isinstance(result, list) else (result,):
                self.open[id(work)] = (start, number, tag)
        size = _bytes_of(args[first] if len(args) > first else next(iter(kwargs.values()), None))
        self.recorder.span(kinds.COLLECTIVE, start, end, flags, number, size, tag)

    def _waited(self, original: Callable[..., Any]) -> Any:
        """Return ``Work.wait`` timed; in the span, ``a`` is how long ago the call was launched."""
        inside, recorder, under_way = self.inside, self.recorder, self.open

        def wait(self: Any, *args: Any, **kwargs: Any) -> Any:
            launched = under_way.pop(id(self), None) if under_way else None
            if inside.depth or launched is None:
                return original(self, *args, **kwargs)
            start = now()
            try:
                return original(self, *args, **kwargs)
            finally:
                began, name, tag = launched
                recorder.span(kinds.COLLECTIVE, start, now(), kinds.WAIT, name, start - began, tag)

        return dress(wait, original)


def _positions(original: Callable[..., Any]) -> tuple[int, int, int]:
    """Return the positions of the first tensors, of ``group`` and of ``async_op``; -1 where there is none."""
    try:
        names = list(inspect.signature(original).parameters)
    except (TypeError, ValueError):
        return 0, -1, -1
    found = [names.index(name) if name in names else -1 for name in ("group", "async_op")]
    return 0, found[0], found[1]


def _asks_async(name: str, args: Any, kwargs: Any, at: tuple[int, int, int]) -> bool:
    """Return whether a call returns before it is done."""
    if name in ("isend", "irecv", "batch_isend_irecv"):
        return True
    return bool(kwargs.get("async_op", args[at[2]] if 0 <= at[2] < len(args) else False))


def _bytes_of(value: Any) -> int:
    """Return the bytes of a tensor, or of a list of them; 0 for what is none."""
    if isinstance(value, (list, tuple)):
        shown = [_bytes_of(one) for one in value[:_MOST_TENSORS]]
        return sum(shown) * len(value) // len(shown) if shown else 0
    try:
        return int(value.numel() * value.element_size())
    except (AttributeError, TypeError, RuntimeError):
        return 0
