"""Evaluates without recording a graph, where evaluations were seen that never ran backward."""

from __future__ import annotations

from typing import Any

from ..hooks import Hooks
from .around import AroundRoots
from .backward import on_backward
from .base import Tell, where
from .nested import change_inputs

_SEEN = 2  # calls at a line, between two training calls, before it counts as an evaluation


class EvalNoGrad(AroundRoots):
    """Enters ``no_grad`` for calls in eval mode at lines where an earlier evaluation needed no gradient.

    An evaluation is what lies between two training calls. A line counts once such a stretch had several calls there and
    no backward pass before the next training call; one backward pass after a call rules its line out for good.
    """

    name = "eval_no_grad"
    around = True
    evaluates = True

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Watch all calls of roots, and backward passes."""
        super().install(torch, hooks, tell)
        self.calls: dict[tuple[str, int], int] = {}  # of the evaluation under way
        self.evaluating: set[tuple[str, int]] = set()
        self.barred: set[tuple[str, int]] = set()
        self.trained = False
        self.context: Any = None
        self.needed = False
        on_backward(torch, hooks, self._backward)

    def before(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Enter ``no_grad`` where this line is known to evaluate, else note the call."""
        if module.training:
            self._train()
        elif self.torch.is_grad_enabled():
            place = where()
            if self._wants_gradients(args, kwargs):
                self.barred.add(place)
            if place in self.evaluating - self.barred:
                self.context = self.torch.no_grad()
                self.context.__enter__()
                self.tell.applied("the evaluation runs without gradients")
            else:
                self.calls[place] = self.calls.get(place, 0) + 1
        return args, kwargs

    def leave(self, module: Any, done: bool) -> None:
        """Leave ``no_grad`` again."""
        context, self.context = self.context, None
        if context is not None:
            context.__exit__(None, None, None)

    def _train(self) -> None:
        """Note that training goes on: the evaluation before it ended without a backward pass."""
        if self.calls:
            if self.trained:
                self.evaluating |= {place for place, count in self.calls.items() if count >= _SEEN}
            self.calls = {}
        self.trained = True

    def _backward(self) -> None:
        """Rule out the lines whose calls this pass may come from."""
        if self.calls:
            self.barred |= set(self.calls)
            self.calls = {}

    def _wants_gradients(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Return whether an input asks for a gradient: a saliency map, an attack."""
        found: list[bool] = []

        def look(tensor: Any) -> Any:
            found.append(bool(tensor.requires_grad))
            return tensor

        change_inputs(args, kwargs, self.torch.Tensor, look)
        return any(found)
