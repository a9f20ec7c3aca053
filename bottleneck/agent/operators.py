"""Counts the operators of one step by walking its backward graph, and times the smallest operator there is.

Together they tell how much of a step is the host issuing work, whatever the work: the count costs about a
microsecond per node, once, and the time is recorded as a pause of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import kinds
from .recorder import Recorder, now

_AFTER = 12  # backward passes to let go by: graphs of the first steps may be unusual
_MAX_NODES = 200_000  # bounds the pause to a fraction of a second
_CHAIN = 40  # operators in one probe
_REPEATS = 15


class Operators:
    """Called before each backward pass; acts once."""

    def __init__(self, torch: Any, recorder: Recorder) -> None:
        """Record with ``recorder``."""
        self.torch = torch
        self.recorder = recorder
        self.left = _AFTER
        self.backward: Callable[..., Any] = torch.autograd._engine_run_backward

    def before_backward(self, outputs: Any) -> None:
        """Count nodes and probe at the twelfth pass; nothing before and after."""
        if self.left < 0:
            return
        self.left -= 1
        if self.left >= 0 or self._is_observed():
            return
        start = now()
        nodes, complete = count_nodes(outputs)
        forward_ns, backward_ns = self._probe()
        self.recorder.event(
            "operators", nodes=nodes, complete=complete, forward_ns=forward_ns, backward_ns=backward_ns
        )
        self.recorder.span(kinds.PAUSE, start, now())

    def _is_observed(self) -> bool:
        """Return whether Dynamo or a mode of the script would see the probe's operators."""
        core = self.torch._C
        return bool(
            self.torch.compiler.is_compiling()
            or core._len_torch_dispatch_stack()
            or core._len_torch_function_stack()
            or core._autograd._profiler_enabled()
        )

    def _probe(self) -> tuple[float, float]:
        """Return ns per operator, forward and backward, of a chain of operators on one number (CPU, median).

        Touches neither the random generators nor the script's tensors, and restores the gradient mode.
        """
        torch = self.torch
        pairs = []
        with torch.enable_grad(), torch.autocast("cpu", enabled=False):
            leaf = torch.ones((), requires_grad=True, device="cpu")
            for _ in range(_REPEATS):
                value, start = leaf, now()
                for _ in range(_CHAIN):
                    value = value * 1.0
                middle = now()
                self.backward((value,), (torch.ones(()),), False, False, (leaf,), True, accumulate_grad=False)
                pairs.append((middle - start, now() - middle))
        forward = sorted(pair[0] for pair in pairs)[_REPEATS // 2]
        backward = sorted(pair[1] for pair in pairs)[_REPEATS // 2]
        return forward / _CHAIN, backward / _CHAIN


def count_nodes(outputs: Any) -> tuple[int, bool]:
    """Return how many autograd nodes lie below ``outputs``, and whether the walk reached the end."""
    tensors = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    waiting = [tensor.grad_fn for tensor in tensors if getattr(tensor, "grad_fn", None) is not None]
    seen = set(waiting)
    while waiting and len(seen) < _MAX_NODES:
        for node, _ in waiting.pop().next_functions:
            if node is not None and node not in seen:
                seen.add(node)
                waiting.append(node)
    return len(seen), not waiting
