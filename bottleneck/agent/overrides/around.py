"""What overrides have in common that act on the modules a script trains."""

from __future__ import annotations

from typing import Any, ClassVar

from ..hooks import Hooks
from .base import Override, Tell


class AroundRoots(Override):
    """An override that changes roots once, or acts around each call of them.

    Attributes:
        around: ``before``, ``after`` and ``leave`` are wanted at every call, not only ``first``.
        evaluates: It acts from the first call of any kind on, not from the first that trains.
    """

    around: ClassVar[bool] = False
    evaluates: ClassVar[bool] = False

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Wait for the first root."""
        from . import outermost  # which knows this class

        self.torch, self.hooks, self.tell = torch, hooks, tell
        outermost.follow(torch, hooks, self)

    def first(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Change a root before the first call that counts. May raise ``Refused``."""

    def settled(self, module: Any) -> None:
        """Look at the root after that call returned. May raise ``Refused``."""

    def before(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the inputs to call ``module`` with. May raise ``Refused``."""
        return args, kwargs

    def after(self, module: Any, result: Any) -> Any:
        """Return what the script gets for ``result``."""
        return result

    def leave(self, module: Any, done: bool) -> None:
        """End what ``before`` began; ``done`` is False where the call raised."""

    def undo(self, module: Any) -> None:
        """Make the root what it was before ``first``."""


def first_lines(error: Exception) -> str:
    """Return what an error says in its first two lines: Dynamo's first one names only the backend."""
    return f"{type(error).__name__}: " + " ".join(str(error).split("\n")[:2])[:200]
