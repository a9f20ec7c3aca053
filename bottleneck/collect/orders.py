"""What the command asks of the agents: one file of orders, each due after a number of optimizer steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class OrderBook:
    """The orders of one run, in the order they were given (read by ``agent/orders.py``)."""

    def __init__(self, run: Path) -> None:
        """Write below the folder ``run``."""
        self._run = run
        self._orders: list[dict[str, Any]] = []

    def give(self, do: str, at: int, **details: Any) -> None:
        """Ask all agents to ``do`` something once they have taken ``at`` optimizer steps.

        Raises:
            OSError: The file could not be written; the order is not given.
        """
        orders = [*self._orders, {"do": do, "at": at, **details}]
        temporary = self._run / ".orders"
        temporary.write_text(json.dumps(orders), encoding="ascii")
        temporary.replace(self._run / "orders")
        self._orders = orders
