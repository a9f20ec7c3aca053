"""Removes logging: calls of loggers, progress bars and print, and forcing their files to disk."""

from __future__ import annotations

import builtins
import os
import sys
from typing import Any

from ..stalls import REMOVED
from .arm import Arm, Refused
from .targets import SAVED, path_of

# What is called beside the loggers that are timed in any case: (module, class, method).
_MORE = (
    ("rich.console", "Console", "print"),
    ("lightning.fabric.loggers.csv_logs", "_ExperimentWriter", "save"),
    ("pytorch_lightning.loggers.csv_logs", "ExperimentWriter", "save"),
)


class Logging(Arm):
    """Logging calls return at once. What the script does to prepare them stays."""

    def check(self) -> None:
        """Start at no call seen."""
        self.calls = 0

    def prepare(self) -> None:
        """Put a switch in front of every call."""
        self._switch(builtins, "print")
        for name, owner, method in _MORE:
            found = getattr(sys.modules.get(name), owner, None)
            if found is not None and hasattr(found, method):
                self._switch(found, method)
        for name in ("fsync", "fdatasync"):
            if hasattr(os, name):
                self._switch_sync(name)
        REMOVED.logs = self._log
        self.setting.hooks.on_undo(_let_log)

    def remove(self) -> None:
        """Log nothing from now on."""
        if not self.calls:
            raise Refused("nothing was logged in the steps seen")
        super().remove()

    def facts(self) -> dict[str, Any]:
        """Return how many calls were seen."""
        return {"calls": self.calls}

    def _switch(self, owner: Any, name: str) -> None:
        """Let ``owner.name`` do nothing while removed."""
        original = getattr(owner, name)

        def log(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return None if self.removed else original(*args, **kwargs)

        self.setting.hooks.patch(owner, name, log)

    def _switch_sync(self, name: str) -> None:
        """Let files that are no checkpoints be forced to disk only while logging is there."""
        original = getattr(os, name)

        def sync(fd: Any) -> Any:
            if self.removed and path_of(fd) not in SAVED:
                return None
            return original(fd)

        self.setting.hooks.patch(os, name, sync)

    def _log(self, original: Any, args: Any, kwargs: Any) -> Any:
        """Stand in for a logger that is timed in any case."""
        self.calls += 1
        return None if self.removed else original(*args, **kwargs)


def _let_log() -> None:
    """Put nothing in front of loggers any more."""
    REMOVED.logs = None
