"""Removes garbage collections, those the interpreter starts and those the script asks for."""

from __future__ import annotations

import gc
from typing import Any

from .arm import Arm, Refused


class Collector(Arm):
    """No collection while removed; what piled up is collected before the next block, which must not pay for it."""

    def check(self) -> None:
        """Note whether the script lets the interpreter collect."""
        self.was_enabled = gc.isenabled()
        self.collected = 0

    def prepare(self) -> None:
        """Patch what scripts call themselves, and count collections."""
        original = gc.collect

        def collect(*args: Any, **kwargs: Any) -> int:
            return 0 if self.removed else original(*args, **kwargs)

        def listen(phase: str, info: dict[str, int]) -> None:
            self.collected += phase == "start" and not self.removed

        self.collect = original
        self.setting.hooks.patch(gc, "collect", collect)
        gc.callbacks.append(listen)
        self.setting.hooks.on_undo(lambda: gc.callbacks.remove(listen))

    def remove(self) -> None:
        """Switch it off."""
        if not self.collected:
            raise Refused("no garbage collection ran in the steps seen")
        super().remove()
        gc.disable()

    def give_back(self) -> None:
        """Collect what is due and switch it on again, if the script had it on."""
        if self.removed:
            super().give_back()
            self.collect()
            if self.was_enabled:
                gc.enable()
