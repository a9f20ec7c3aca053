"""How often the garbage collector runs, and what it has to look at."""

from __future__ import annotations

import gc
import sys
from typing import Any

from ..hooks import Hooks, dress
from .base import Override, Refused, Tell


class Collector(Override):
    """Freezes what exists after the first optimizer step, or raises the threshold of young collections.

    What the script does with ``gc.disable`` and ``gc.collect`` is left alone; a threshold it sets is replaced.
    """

    name = "gc"
    known = ("freeze", "threshold")

    def check(self) -> None:
        """Read the settings."""
        self.freeze, self.threshold = self.switch("freeze"), self.whole("threshold", 1)
        if not self.freeze and self.threshold is None:
            raise Refused("gc: there is nothing to set")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Set the threshold now, and freeze after the first step."""
        if self.threshold is not None:
            self._raise(self.threshold, hooks, tell)
        if self.freeze:
            self._freeze_later(hooks, tell)

    def _raise(self, wanted: int, hooks: Hooks, tell: Tell) -> None:
        """Set the first threshold, and keep it; the others stay the script's."""
        original, before = gc.set_threshold, gc.get_threshold()
        if before[0] != wanted:
            original(wanted, *before[1:])
            tell.applied(f"gc threshold {before[0]} -> {wanted}", "", 0)

        def set_threshold(*numbers: int) -> None:
            if numbers and numbers[0] not in (0, wanted):  # 0 switches the collector off: the script's choice
                tell.applied(f"gc.set_threshold({numbers[0]}) -> {wanted}")
                numbers = (wanted, *numbers[1:])
            original(*numbers)

        hooks.patch(gc, "set_threshold", dress(set_threshold, original))

    def _freeze_later(self, hooks: Hooks, tell: Tell) -> None:
        """Freeze once the first step has made the optimizer's state."""
        pending = [True]

        def after_step(optimizer: Any, args: Any, kwargs: Any) -> None:
            if pending:  # the hook can't be removed from inside: torch walks over the hooks right now
                pending.clear()
                tell.attempt(lambda: _freeze(tell), None)

        module = sys.modules["torch.optim.optimizer"]
        hooks.on_undo(module.register_optimizer_step_post_hook(after_step).remove)


def _freeze(tell: Tell) -> None:
    """Collect once, then let the collector never look at what is left. May raise ``Refused``."""
    if not gc.isenabled() or gc.get_threshold()[0] == 0:
        raise Refused("the script has switched the garbage collector off itself")
    gc.collect()
    gc.freeze()
    tell.applied("gc.freeze() after the first optimizer step")
