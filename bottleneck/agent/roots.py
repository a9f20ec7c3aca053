"""Watches all modules at first, then only the classes that were seen called outermost.

A wrapper around every module call costs 0.8 us a module whatever it does (measured: one that does nothing adds 10 us to
a forward of 13 modules that takes 360; in a tight loop, where all is warm, 0.4 us): 150 us in a network of 200
modules, of which only the outermost call is recorded. So once no new class has been called outermost
for a while, the wrapper moves from ``nn.Module`` to those classes. All modules are watched again for a moment
at each pass over a loader and every ten seconds, as an evaluation may bring classes never seen before.
"""

from __future__ import annotations

import sys
from typing import Any

from .hooks import Hooks

_QUIET = 4  # flushes, about a second of calls, without a new class before the wrapper moves
_AGAIN = 40  # flushes, about ten seconds, until all modules are watched for the length of one flush
_MOST_CLASSES = 64  # beyond that the script makes classes up: all modules stay watched


class Roots:
    """The classes called outermost, and where the wrapper is.

    Attributes:
        classes: Classes seen called outermost.
        armed: All modules are watched.
    """

    def __init__(self, module_class: type, wrapper: Any, hooks: Hooks) -> None:
        """Move ``wrapper`` between ``module_class`` (where it is now) and the classes found."""
        self.classes: set[type] = set()
        self.armed = True
        self._module = module_class
        self._original = module_class.__dict__.get("_wrapped_call_impl")
        self._wrapper = wrapper
        self._hooks = hooks
        self._fixed = self._original is None  # torch before 2.1: all modules stay watched
        self._patched: set[type] = set()
        self._quiet = _QUIET
        self._flushes = 0

    def called(self, cls: type) -> None:
        """Note an outermost call of a class that is not among ``classes`` yet."""
        self.classes.add(cls)
        self._flushes, self._quiet = 0, _QUIET

    def look(self) -> None:
        """Move the wrapper if it is time to; called with each flush, a few times a second."""
        self._flushes += 1
        if self._fixed:
            return
        if not self.armed:
            if self._flushes >= _AGAIN:
                self.arm()
                self._quiet = 1
        elif self._flushes >= self._quiet and self.classes and not self._unusual():
            self._disarm()

    def arm(self) -> None:
        """Watch all modules, unless somebody else has patched them meanwhile (torch.fx does while it traces)."""
        if self.armed or self._module.__dict__.get("__call__") is not self._original:
            return
        self._module.__call__ = self._wrapper  # type: ignore[method-assign]
        self.armed = True
        self._flushes, self._quiet = 0, _QUIET

    def stay(self, *_: Any) -> None:
        """Watch all modules from now on: torch.compile is at work, and its guards are to find one state only."""
        self.arm()
        self._fixed = True

    def _disarm(self) -> None:
        """Watch the classes found, and no other module."""
        if self._module.__dict__.get("__call__") is not self._wrapper:
            return
        for cls in self.classes - self._patched:
            self._hooks.patch(cls, "__call__", self._wrapper)
            self._patched.add(cls)
        self._module.__call__ = self._original  # type: ignore[method-assign,assignment]
        self.armed = False
        self._flushes = 0

    def _unusual(self) -> bool:
        """Return whether all modules have to stay watched: a class can't carry the wrapper, or Dynamo comes later.

        Dynamo keeps the ``nn.Module.__call__`` that it finds when it is imported (an optimizer imports it) and
        takes the slow way with any other: it has to find the one that it finds when it compiles.
        """
        if len(self.classes) > _MOST_CLASSES or "torch._dynamo.utils" not in sys.modules:
            return True
        return any(
            base.__module__.startswith("torch.jit")
            or ("__call__" in vars(base) and base not in self._patched)
            for cls in self.classes
            for base in cls.__mro__[: cls.__mro__.index(self._module)]
        )
