"""Tells gradients that nobody uses: those of autograd nodes that lead to no parameter an optimizer updates.

A teacher that is called with gradients on, or a backbone that was not frozen while only the head is in the optimizer:
backward goes through all of it. Asked while operators are counted, and never where it could be wrong: leaves that are
no parameters and parameters with hooks are wanted, and parameters that change all the same make all of it doubtful.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from typing import Any

_MOST = 200_000  # nodes that are looked at: bounds the pause to a fraction of a second
_PROBED = 64  # parameters of which some numbers are kept, to see whether anything else updates them
_NUMBERS = 8
_LEAF = "AccumulateGrad"


class Unused:
    """Knows for each node of the graphs of some steps whether its gradient reaches anything."""

    def __init__(self, torch: Any, optimizers: Iterable[Any]) -> None:
        """Take what ``optimizers`` update for wanted."""
        self.torch = torch
        self._updated = _parameters(optimizers)
        self._searched = False
        self._useful: dict[int, bool] = {}  # by the node's number
        self._idle: dict[int, tuple[Any, int, Any]] = {}  # parameters that nothing updates, as they were
        self.updates = False  # one of these graphs leads to a parameter that is updated
        self.problem = ""  # why the graphs could not be followed

    def is_useful(self, node: Any) -> bool:
        """Return whether the gradient that ``node`` makes reaches a parameter that is updated, or another leaf.

        Of a graph that can't be followed nothing is said: all of it counts as useful then.
        """
        if self.problem:
            return True
        try:
            return self._leads_on(node)
        except Exception as error:  # nodes of the script's own making; operators are counted all the same
            self.problem = f"unused gradients: {type(error).__name__}: {error}"
            return True

    def _leads_on(self, node: Any) -> bool:
        """Return the answer for ``node``, which is known for the nodes of one walk together."""
        if type(node).__name__ == _LEAF:
            return self._is_wanted(node.variable)
        number = node._sequence_nr()
        if number not in self._useful:
            self._walk(node)
        return self._useful.get(number, True)

    def found(self) -> dict[str, Any]:
        """Return ``parameters``, the numbers in parameters that get gradients in vain, and ``trusted``: this holds.

        It does not where no graph leads to any parameter of an optimizer (that then works on copies).
        """
        if self.problem:
            return {"parameters": 0, "trusted": False}
        changed = any(_changed(self.torch, *each) for each in self._idle.values())
        count = sum(parameter.numel() for parameter, _, _ in self._idle.values())
        return {"parameters": count, "trusted": self.updates and not changed}

    def _walk(self, start: Any) -> None:
        """Decide on ``start`` and on all nodes below it that this needs, those at the end first."""
        waiting, opened = [start], set()
        while waiting:
            node = waiting[-1]
            number = node._sequence_nr()
            if number in self._useful or len(self._useful) >= _MOST:
                waiting.pop()
                continue
            below = [one for one, _ in node.next_functions if one is not None]
            inner = [one for one in below if type(one).__name__ != _LEAF]
            unknown = [one for one in inner if one._sequence_nr() not in self._useful]
            if unknown and number not in opened:
                opened.add(number)
                waiting += unknown
                continue
            waiting.pop()
            leaves = [self._is_wanted(one.variable) for one in below if type(one).__name__ == _LEAF]
            self._useful[number] = any(leaves) or any(
                self._useful.get(one._sequence_nr(), True) for one in inner
            )

    def _is_wanted(self, leaf: Any) -> bool:
        """Return whether somebody may use the gradient of ``leaf``."""
        if not isinstance(leaf, self.torch.nn.Parameter):
            return True  # an input that is optimised, or asked for its gradient
        if id(leaf) not in self._updated and not self._searched:
            self._searched = (
                True  # optimizers that have not stepped yet, as one that does so every hundred steps
            )
            self._updated |= _parameters(_all_optimizers(self.torch))
        if id(leaf) in self._updated:
            self.updates = True
            return True
        if leaf._backward_hooks or getattr(leaf, "_post_accumulate_grad_hooks", None):
            return True
        if id(leaf) not in self._idle:
            probe = _numbers(leaf) if len(self._idle) < _PROBED else None
            self._idle[id(leaf)] = (leaf, leaf._version, probe)
        return False


def _parameters(optimizers: Iterable[Any]) -> set[int]:
    """Return the identities of all that ``optimizers`` update."""
    return {id(p) for each in optimizers for group in each.param_groups for p in group["params"]}


def _all_optimizers(torch: Any) -> list[Any]:
    """Return every optimizer there is. Only types are looked at: objects that load on demand stay as they are."""
    return [one for one in gc.get_objects() if issubclass(type(one), torch.optim.Optimizer)]


def _numbers(parameter: Any) -> Any:
    """Return a copy of some of its numbers."""
    return parameter.detach().reshape(-1)[:_NUMBERS].clone()


def _changed(torch: Any, parameter: Any, version: int, probe: Any) -> bool:
    """Return whether ``parameter`` is another than it was: the script updates it in a way of its own."""
    if parameter._version != version:
        return True
    return probe is not None and not torch.equal(_numbers(parameter), probe)
