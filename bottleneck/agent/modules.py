"""Tells, while operators are counted, in which phase and module the thread is: nothing is attached to the modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MAX_MODULES = 5_000
_MAX_SEQUENCES = 200_000


class Place:
    """Where the training is: phase by what is running, module by the calls under way.

    A backward operator belongs to the module whose forward made its node: autograd numbers nodes in order, and the
    number of the node that a forward operator has just made is the last one given out.
    """

    def __init__(
        self,
        torch: Any,
        in_optimizer: Callable[[], bool],
        in_batch: Callable[[], bool],
        is_useful: Callable[[Any], bool] = lambda node: True,
        is_retained: Callable[[Any], bool] = lambda node: False,
    ) -> None:
        """Ask ``in_optimizer`` and ``in_batch`` whether an update or the making of a batch is under way.

        ``is_useful`` tells of a node of backward whether anything comes of its gradient, ``is_retained`` whether an
        earlier pass had been through it.
        """
        self.is_useful = is_useful
        self.is_retained = is_retained
        self.in_optimizer = in_optimizer
        self.in_batch = in_batch
        self.stack: list[str] = []
        self.again = False  # a module was called while backward runs
        self.names: dict[int, str] = {}
        self.roots: list[Any] = []
        self.parameters: dict[str, int] = {}
        self.classes: dict[str, str] = {}
        self.calls: dict[str, int] = {}
        self.sequences: dict[int, str] = {}
        self._node = getattr(torch._C, "_current_autograd_node", lambda: None)
        self._sequence = getattr(torch._C._autograd, "_get_sequence_nr", lambda: 0)

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return ``nn.Module.__call__`` (``call``) that keeps ``stack``."""

        def tracked(module: Any, *args: Any, **kwargs: Any) -> Any:
            name = self.names.get(id(module))
            if name is None:
                name = self._learn(module)
            self.stack.append(name)
            self.calls[name] = self.calls.get(name, 0) + 1
            depth, again = len(self.stack), self.again
            self.again = again or self._node() is not None
            try:
                return call(module, *args, **kwargs)
            finally:
                del self.stack[depth - 1 :]
                self.again = again

        return tracked

    def here(self) -> tuple[str, str]:
        """Return phase and module ("" for none).

        Phases are "forward", "backward", "optimizer", "input", "other", and three kinds of backward: "again" is
        what modules do meanwhile (activation checkpointing calls them a second time), "unused" are gradients of which
        nothing comes, "retained" is what one pass for all losses would do once.
        """
        if self.in_batch():
            return "input", ""
        node = self._node()
        if node is not None and not self.again:
            return self._of_backward(node), self.sequences.get(node._sequence_nr(), "")
        if not self.stack:  # a closure runs forward and backward within the optimizer's step: they come first
            return ("optimizer" if self.in_optimizer() else "other"), ""
        if len(self.sequences) < _MAX_SEQUENCES:
            self.sequences[self._sequence() - 1] = self.stack[-1]
        return "again" if self.again else "forward", self.stack[-1]

    def _of_backward(self, node: Any) -> str:
        """Return the phase while ``node`` runs."""
        if self.is_retained(node):
            return "retained"
        return "backward" if self.is_useful(node) else "unused"

    def _learn(self, module: Any) -> str:
        """Return the name of a module that is new: an outermost one brings the names of all below it."""
        if self.stack or len(self.names) >= _MAX_MODULES:
            return self.stack[-1] if self.stack else ""
        prefix = type(module).__name__ + (f"#{len(self.roots)}" if self.roots else "")
        self.roots.append(module)
        for name, below in module.named_modules():
            if len(self.names) >= _MAX_MODULES:
                break
            full = f"{prefix}.{name}" if name else prefix
            self.names[id(below)] = full
            self.classes[full] = type(below).__name__
            self.parameters[full] = sum(p.numel() for p in below.parameters(recurse=False))
        return self.names[id(module)]
