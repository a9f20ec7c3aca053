"""What every experiment has in common: when it refuses, how it removes its resource and gives it back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..hooks import Hooks
from ..recorder import Recorder


class Refused(Exception):
    """The experiment can't be made with this script; the text says why."""


class Invalid(Exception):
    """The experiment was under way and can't be used; the text says why."""


@dataclass(frozen=True)
class Setting:
    """What an arm may use.

    Attributes:
        torch: The torch of the script.
        hooks: Patches of this order alone, undone at its end.
        recorder: Where spans and events go.
        delivery: Sees every batch that a loader hands out (``delivery.Delivery``).
        order: The order as the command wrote it.
        world: Number of ranks.
    """

    torch: Any
    hooks: Hooks
    recorder: Recorder
    delivery: Any
    order: dict[str, Any]
    world: int


class Arm:
    """One resource that can be removed and given back. Every method is called between two optimizer steps.

    Attributes:
        removed: Whether the resource is away.
        single: There are no blocks: after the steps that are washed out ``carry_out`` does all at once.
    """

    single = False

    def __init__(self, setting: Setting) -> None:
        """Patch nothing yet."""
        self.setting = setting
        self.removed = False

    def check(self) -> None:
        """Look whether it makes sense at all, before anything is changed. May raise ``Refused``."""

    def prepare(self) -> None:
        """Put patches in place that change nothing while ``removed`` is False.

        Raises:
            Refused: This script has nothing to remove, or nothing that can be removed safely.
        """

    def remove(self) -> None:
        """Take the resource away. May raise ``Refused``."""
        self.removed = True

    def give_back(self) -> None:
        """Give the resource back; called again it does nothing."""
        self.removed = False

    def after_step(self, ordinary: bool) -> None:
        """Look at a step that has just ended, ``ordinary`` if nothing was removed in it. May raise ``Invalid``."""

    def carry_out(self) -> bool:
        """Do all at one boundary, where ``single``; return whether it is done."""
        return True

    def close(self) -> None:
        """Let go of everything kept."""
        self.give_back()

    def facts(self) -> dict[str, Any]:
        """Return what the report of the order should add to the fingerprint."""
        return {}


Make = Callable[[Setting], Arm]
