"""Tells calls that compute what they computed in the step before: masks, positions, features that never change.

A call is one of them where its result is the same as in the last counted step and everything it was given is: results
of such calls, or tensors that hold what they held then. Weights are no such tensors, whatever they hold. Results are
compared by some of their numbers, spread over each dimension.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

from .formulas import storage_of

PHASES = ("forward", "other")  # what backward and optimizers compute hangs on the weights
# About so many numbers of a tensor are compared: where one in twenty differs, 64 miss it once in 26 cases, two pairs of
# steps once in 700.
_NUMBERS = 64
# A look takes 8 to 19 us (a slice and its copy, tensors of one to four dimensions, torch 2.13): what is faster, and
# small, costs more to look at than it takes. It is looked at where somebody uses it.
_LEAST_NS, _LEAST_ELEMENTS = 20_000, 1_000
# Sums that threads share out are rounded otherwise each time: some 80 times the step of a float32.
_ROUNDING = 1e-5

_Spent = list[tuple[Any, int]]  # rows, and ns that calls of theirs took


class Constants:
    """Compares the calls of each counted step with those of the one before."""

    def __init__(self, torch: Any, weights: frozenset[int]) -> None:
        """Take memory in ``weights`` (``arguments.weight_storages``) for changing, as what wants gradients is."""
        self.torch = torch
        self.weights = weights
        self._before: dict[Any, Any] = {}
        self._now: dict[Any, Any] = {}
        self._calls: dict[int, int] = {}
        # By memory: the tensor that a call made there, whether it is as it was, and what went into it.
        self._made: dict[int, tuple[weakref.ref[Any], bool, _Spent]] = {}

    def begin_step(self) -> None:
        """Compare what follows with what was seen since the last call."""
        self._before, self._now = self._now, {}
        self._calls.clear()
        self._made.clear()

    def look(self, row: Any, phase: str, taken_ns: int, given: Any, changed: Any, returned: Any) -> None:
        """Add ``taken_ns`` to ``row.same_ns`` where a call made the same of the same as in the step before.

        Args:
            row: The row that the call belongs to (``counting.Row``): its n-th call is compared with the n-th then.
            phase: See ``modules.Place.here``.
            taken_ns: What the call took.
            given: The tensors among its arguments.
            changed: Those it wrote into.
            returned: The tensors it returned.
        """
        made = changed or returned
        if not changed and self._is_view(given, returned):
            return
        matters = self._matters(phase, taken_ns, made)
        same = matters and self._is_same(row, given, changed, made)
        spent = self._spent_before(changed) if same else []
        if same:
            row.same_ns += taken_ns
            spent.append((row, taken_ns))
        else:
            self._take_back(changed)
        for tensor in made:
            self._made.pop(storage_of(tensor), None)
            if matters:
                self._made[storage_of(tensor)] = (weakref.ref(tensor), same, spent)

    def _spent_before(self, changed: Any) -> _Spent:
        """Return what went into tensors that are being written into."""
        return [one for tensor in changed for one in self._made_by(tensor)[1]]

    def _take_back(self, changed: Any) -> None:
        """Count nothing that went into tensors which are no constants any more.

        A copy, or zeros, that the step goes on to write into can't be kept from the step before.
        """
        for tensor in changed:
            spent = self._made_by(tensor)[1]
            for row, taken_ns in spent:
                row.same_ns -= taken_ns
            spent.clear()

    def _made_by(self, tensor: Any) -> tuple[bool | None, _Spent]:
        """Return whether calls made a tensor what it was, None where none is known to have, and what they took."""
        source, same, spent = self._made.get(storage_of(tensor), (None, False, []))
        return (same, spent) if source is not None and source() is not None else (None, [])

    def _matters(self, phase: str, taken_ns: int, made: Any) -> bool:
        """Return whether a call is worth the look."""
        if phase not in PHASES or not made or not all(map(self._is_plain, made)):
            return False
        return taken_ns >= _LEAST_NS or any(one.numel() >= _LEAST_ELEMENTS for one in made)

    def _is_plain(self, tensor: Any) -> bool:
        """Return whether the numbers of a tensor can be read here, without waiting for a device."""
        return bool(tensor.device.type == "cpu" and tensor.layout is self.torch.strided)

    def _is_same(self, row: Any, given: Any, changed: Any, made: Any) -> bool:
        """Return whether all a call was given, and all it made, is as it was; remember it for the next step.

        What differs once is no constant: of most calls nothing is looked at after the first step but an argument.
        """
        number = self._calls[row.number] = self._calls.get(row.number, 0) + 1
        place, same = (row.number, number), True
        for n, tensor in enumerate(given):
            same &= self._is_known((*place, n), tensor, changed)
            if self._before and not same:
                return False
        results = [self._is_alike((*place, -1 - n), tensor) for n, tensor in enumerate(made)]
        return same and all(results)

    def _is_view(self, given: Any, returned: Any) -> bool:
        """Return whether a call that changed nothing returned other looks at what it was given."""
        known = {storage_of(tensor) for tensor in given}
        return bool(returned) and all(storage_of(tensor) in known for tensor in returned)

    def _is_known(self, place: Any, tensor: Any, changed: Any) -> bool:
        """Return whether an argument holds what it held in the step before."""
        if tensor.requires_grad or storage_of(tensor) in self.weights:
            return False
        if not self._is_plain(tensor):
            return self._is_untouched(place, tensor)
        same, _ = self._made_by(tensor)
        if same is not None:
            return same
        # Of what was just written into nobody knows what it held.
        return all(one is not tensor for one in changed) and self._is_alike(place, tensor, outside=True)

    def _is_untouched(self, place: Any, tensor: Any) -> bool:
        """Return whether a tensor that can't be read is the one of the step before, and nobody has written into it."""
        before = self._before.get(place)
        self._now[place] = (None, None, None, weakref.ref(tensor), _version(tensor))
        return before is not None and _version(tensor) >= 0 and _is_same_tensor(before, tensor)

    def _is_alike(self, place: Any, tensor: Any, outside: bool = False) -> bool:
        """Return whether ``tensor`` holds what was at this place in the step before, and remember it for the next.

        One number all over says little of a tensor that comes from ``outside``, as a mask that no sample of these steps
        needs: that must be the same tensor still.
        """
        numbers = self._numbers(tensor)
        self._now[place] = (tuple(tensor.shape), tensor.dtype, numbers, weakref.ref(tensor), _version(tensor))
        before = self._before.get(place)
        if before is None or before[:2] != (tuple(tensor.shape), tensor.dtype):
            return False
        if outside and tensor.numel() > 1 and bool((numbers == numbers.reshape(-1)[:1]).all()):
            return _is_same_tensor(before, tensor)
        return self._alike(before[2], numbers, exactly=outside)

    def _alike(self, one: Any, other: Any, exactly: bool) -> bool:
        """Return whether two samples hold the same numbers, but for rounding where that is allowed."""
        if exactly or not one.is_floating_point():
            return bool(self.torch.equal(one, other))
        return bool(self.torch.allclose(one, other, rtol=_ROUNDING, atol=0.0, equal_nan=True))

    def _numbers(self, tensor: Any) -> Any:
        """Return some numbers of a tensor, spread over each dimension."""
        if not tensor.numel():
            return tensor.detach().clone()
        each = max(2, round(_NUMBERS ** (1 / max(1, tensor.dim()))))
        return tensor.detach()[tuple(_spread(size, each) for size in tensor.shape)].clone()


def _is_same_tensor(before: Any, tensor: Any) -> bool:
    """Return whether ``tensor`` is the one that was remembered, and nobody has written into it since."""
    return before[3]() is tensor and before[4] == _version(tensor)


def _version(tensor: Any) -> int:
    """Return how often a tensor was written into; -1 where torch does not count that."""
    return -1 if tensor.is_inference() else int(tensor._version)


def _spread(size: int, wanted: int) -> slice:
    """Return every how manieth of ``size`` gives ``wanted``, or up to twice as many."""
    return slice(None, None, max(1, size // wanted))


def found(rows: Iterable[Any], steps: int) -> dict[str, float]:
    """Return, by the number of a row, what part of its time went into calls that are the same in each step.

    Only the steps after the first could be compared: of ``steps`` that were counted, the last ``steps`` - 1.
    """
    told = {}
    for number, row in enumerate(rows):
        compared = sum(row.ns[1:steps])
        if row.same_ns and compared:
            told[str(number)] = min(1.0, row.same_ns / compared)
    return told
