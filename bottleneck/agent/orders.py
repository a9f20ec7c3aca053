"""Carries out what the command asks for, at the boundary of a step that it names: stop, look deeper, experiment.

The command writes all its orders to one file in the run folder; each names a number of optimizer steps. Every
rank compares its own count, so all of them act after the same step and no collective is left waiting.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .recorder import Recorder

Order = dict[str, Any]


class Orders:
    """The orders read so far, and who carries them out.

    Attributes:
        each: Called at every boundary while it is set: an order that lasts several steps sets and clears it.
    """

    def __init__(self, recorder: Recorder, steps: Callable[[], int]) -> None:
        """Compare orders with ``steps()``, the optimizer steps of this process so far."""
        self.recorder = recorder
        self.steps = steps
        self.each: Callable[[], None] | None = None
        self._path = recorder.run + "/orders"
        self._handlers: dict[str, Callable[[Order], None]] = {}
        self._known = 0
        self._pending: list[Order] = []

    def on(self, name: str, call: Callable[[Order], None]) -> None:
        """Let ``call(order)`` carry out orders called ``name``; what it raises reaches the script."""
        self._handlers[name] = call

    def look(self) -> None:
        """Read new orders; called with each flush, a few times a second."""
        try:
            with open(self._path, encoding="ascii") as file:
                orders = json.load(file)
        except (OSError, ValueError):
            return
        if isinstance(orders, list) and len(orders) > self._known:
            fresh = [order for order in orders[self._known :] if isinstance(order, dict)]
            self._known = len(orders)
            self._pending = sorted(self._pending + fresh, key=_due)

    def boundary(self) -> None:
        """Carry out what is due; called after each optimizer step, outside of every other hook."""
        if self.each is not None:
            self.each()
        if not self._pending:
            return
        while self._pending and self.steps() >= _due(self._pending[0]):
            order = self._pending.pop(0)
            call = self._handlers.get(str(order.get("do")))
            if call is None:
                self.recorder.event("failure", collector="orders", reason=f"unknown order {order.get('do')}")
            else:
                call(order)


def _due(order: Order) -> int:
    """Return the number of optimizer steps after which an order is to be carried out."""
    at = order.get("at", 0)
    return at if isinstance(at, int) else 0
