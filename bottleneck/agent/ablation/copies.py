"""Keeps batches so that they can be handed out again, and tells whether the script changed them."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import fractions
import zlib
from collections.abc import Callable
from typing import Any

from .arm import Refused

_PLAIN = (
    str, bytes, int, float, complex, bool, type(None), range, enum.Enum,
    datetime.date, datetime.timedelta, decimal.Decimal, fractions.Fraction, type,
)  # fmt: skip
_MOST_BYTES = 4 << 20  # of a numpy array that is checked for changes by its checksum: 1 ms
_DEPTH = 6


class Kept:
    """One batch, handed out as often as asked for, each time in new containers around the same tensors."""

    def __init__(self, batch: Any, torch: Any) -> None:
        """Keep ``batch``.

        Raises:
            Refused: It holds something that can't be copied or checked.
        """
        self.torch = torch
        self.leaves: list[Any] = []
        self.bytes = 0
        self.structure = self._rebuild(batch, True)
        self.states = [state(leaf) for leaf in self.leaves]

    def give(self) -> Any:
        """Return the batch."""
        return self._rebuild(self.structure, False)

    def is_changed(self) -> bool:
        """Return whether a tensor or array in it was changed since it was kept."""
        return any(state(leaf) != before for leaf, before in zip(self.leaves, self.states, strict=True))

    def _rebuild(self, value: Any, keep: bool, depth: int = 0) -> Any:
        """Return ``value`` in new containers; remember what is inside them where ``keep`` is set."""
        if isinstance(value, self.torch.Tensor):
            if keep:
                self._keep(value, value.numel() * value.element_size())
            return value
        if isinstance(value, (*_PLAIN, self.torch.dtype, self.torch.device)):
            return value
        if depth > _DEPTH:
            raise Refused("batches are nested too deeply to be replayed")
        again: Callable[[Any], Any] = lambda one: self._rebuild(one, keep, depth + 1)  # noqa: E731
        if isinstance(value, tuple):
            items = [again(one) for one in value]
            return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
        if type(value) is list:
            return [again(one) for one in value]
        if type(value) is dict:
            return {key: again(one) for key, one in value.items()}
        return self._rebuild_object(value, again, keep)

    def _rebuild_object(self, value: Any, again: Any, keep: bool) -> Any:
        """Return a copy of a container of another class, or of an object with attributes."""
        if type(value).__module__.split(".")[0] == "numpy":
            if keep:
                self._keep(value, getattr(value, "nbytes", 0))
            return value
        attributes = getattr(value, "__dict__", None)
        if isinstance(value, (list, dict)) or (attributes is not None and not callable(value)):
            made = copy.copy(value)
            if isinstance(value, list):
                made[:] = [again(one) for one in value]
            elif isinstance(value, dict):
                made.update({key: again(one) for key, one in value.items()})
            for name, one in list((attributes or {}).items()):
                made.__dict__[name] = again(one)
            return made
        raise Refused(f"batches hold objects of class {type(value).__name__}, which the script may change")

    def _keep(self, leaf: Any, size: int) -> None:
        """Remember one tensor or array."""
        if not isinstance(leaf, self.torch.Tensor) and size > _MOST_BYTES:
            raise Refused("batches hold large NumPy arrays, whose changes can't be seen")
        self.leaves.append(leaf)
        self.bytes += size


def state(leaf: Any) -> Any:
    """Return what differs once ``leaf`` was changed: a tensor counts its changes, an array is summed up."""
    if not hasattr(type(leaf), "requires_grad"):
        try:
            return zlib.crc32(leaf.tobytes())
        except (AttributeError, ValueError):
            return repr(leaf)
    try:
        version = leaf._version
    except RuntimeError:  # made in inference mode: nothing counts its changes
        version = -1
    try:
        place = leaf.data_ptr()
    except RuntimeError:  # sparse tensors and the like have no place
        place = 0
    return version, leaf.requires_grad, place, tuple(leaf.shape)
