"""Tells nodes of autograd that run a second time before anybody has used the gradients of the first.

A loop that calls ``backward(retain_graph=True)`` for each of its losses sends a gradient through what they share once
for each; the sum of the losses sends it once, and what gathers in the parameters is the same. Passes that are needed
one by one tell nothing here: gradients that are asked for (``autograd.grad``) or read, clipped, applied or cleared
between passes, and passes that make a graph of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .formulas import storage_of

_MOST = 200_000  # nodes of a step
_LEAF = "AccumulateGrad"


class Passes:
    """Follows the passes of one thread."""

    def __init__(self, torch: Any, gathers: Callable[[], bool]) -> None:
        """Ask ``gathers`` whether the pass under way adds to the parameters' gradients."""
        self.gathers = gathers
        self.problem = ""
        self._is_grad_enabled = torch.is_grad_enabled
        self._pass = getattr(torch._C, "_current_graph_task_id", None)
        self._ran: dict[int, int] = {}  # by the node's number: the pass it ran in first
        self._leaves: dict[int, Any] = {}
        self._gradients: frozenset[int] | None = None  # their memory, since the last pass

    def is_again(self, node: Any) -> bool:
        """Return whether ``node`` ran before, in a pass whose gradients only wait for this one's."""
        if self.problem or self._pass is None:
            return False
        try:
            return self._ran_before(node)
        except Exception as error:  # nodes of the script's own making
            self.problem = f"retained graphs: {type(error).__name__}: {error}"
            return False

    def use(self, given: Any) -> None:
        """Take note that tensors are used outside backward: after gradients are, all passes are new ones."""
        if not self._ran:
            return
        if self._gradients is None:
            grads = (leaf.grad for leaf in self._leaves.values())
            self._gradients = frozenset(storage_of(grad) for grad in grads if grad is not None)
        if any(storage_of(tensor) in self._gradients for tensor in given):
            self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._ran.clear()
        self._leaves.clear()
        self._gradients = None

    def _ran_before(self, node: Any) -> bool:
        """Return what ``is_again`` says, and remember that ``node`` runs."""
        assert self._pass is not None
        self._gradients = None
        if type(node).__name__ == _LEAF:
            self._leaves[id(node.variable)] = node.variable
            return False
        if self._is_grad_enabled() or not self.gathers() or len(self._ran) >= _MOST:
            return False
        here = self._pass()
        return bool(self._ran.setdefault(node._sequence_nr(), here) != here)
