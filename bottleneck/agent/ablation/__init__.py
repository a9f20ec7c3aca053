"""Experiments inside the running training: blocks of steps as they are, and blocks with one resource removed.

Nothing of this folder is imported before the first order arrives. From then on the script writes to a scratch
folder (``redirect``), its weights and random state are disposable, and the command ends it afterwards.
"""

from __future__ import annotations

from typing import Any


def prepare(torch: Any, hooks: Any, recorder: Any, todo: Any) -> None:
    """Carry out orders called "ablate" from now on; costs nothing until the first one is due."""
    made: list[Any] = []

    def ablate(order: dict[str, Any]) -> None:
        if not made:
            from .. import dynamo
            from .experiments import Experiments

            made.append(Experiments(torch, hooks, recorder, todo))
            dynamo.keep_out()
        made[0].begin(order)

    todo.on("ablate", ablate)
