"""One object installs every patch and can undo all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import report

_TOLERATED = 5  # failures of one hook before it is switched off: one may be chance, five are a pattern
_MISSING = object()


class Hooks:
    """All patches made in this process, in order, with what was there before."""

    def __init__(self) -> None:
        """Start with nothing patched."""
        self._undo: list[Callable[[], None]] = []
        self._failures: dict[str, int] = {}
        self.off: dict[str, str] = {}

    def patch(self, owner: Any, attribute: str, replacement: Any) -> Any:
        """Set ``owner.attribute`` and remember what to restore; return what was there."""
        here = vars(owner).get(attribute, _MISSING)
        original = getattr(owner, attribute)
        setattr(owner, attribute, replacement)

        def undo() -> None:
            if here is _MISSING:
                delattr(owner, attribute)
            else:
                setattr(owner, attribute, here)

        self._undo.append(undo)
        return original

    def on_undo(self, call: Callable[[], None]) -> None:
        """Call ``call()`` when everything is undone: for registrations that are no attributes."""
        self._undo.append(call)

    def undo(self) -> None:
        """Restore everything, last patch first."""
        while self._undo:
            self._undo.pop()()

    def failed(self, hook: str, error: Exception) -> bool:
        """Count a failure inside ``hook``; return True once it must not run any more."""
        count = self._failures[hook] = self._failures.get(hook, 0) + 1
        if count <= _TOLERATED:
            report("hook " + hook, error)
        if count == _TOLERATED:
            self.off[hook] = f"{type(error).__name__}: {error}"
        return count >= _TOLERATED


def dress(wrapper: Any, original: Any) -> Any:
    """Give ``wrapper`` the name, docstring and module of ``original``, so that introspection sees no change."""
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        try:
            setattr(wrapper, attribute, getattr(original, attribute))
        except (AttributeError, TypeError):
            continue
    wrapper.__wrapped__ = original
    return wrapper
