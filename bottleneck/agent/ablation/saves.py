"""Removes checkpoints: savers return at once, and the files they would have written stand there all the same.

A file that is not written is a second name of the last one that was, so that renaming, rotation, sizes and loading
go on as before.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from ..stalls import REMOVED
from .arm import Arm, Refused
from .targets import note

# Savers that write to memory first: (module, class, method). The path is the second argument.
_MORE = (
    ("lightning.fabric.plugins.io.torch_io", "TorchCheckpointIO", "save_checkpoint"),
    ("lightning_fabric.plugins.io.torch_io", "TorchCheckpointIO", "save_checkpoint"),
)


class Checkpoint(Arm):
    """Savers write nothing while removed."""

    def check(self) -> None:
        """Start at no checkpoint seen."""
        self.calls = 0
        self.kept: dict[str, str] = {}
        self.folders: set[str] = set()
        self.results: dict[str, Any] = {}

    def prepare(self) -> None:
        """Stand in front of every saver."""
        REMOVED.saves = self._save
        self.setting.hooks.on_undo(_let_save)
        for module, owner, method in _MORE:
            found = getattr(sys.modules.get(module), owner, None)
            if found is not None and method in vars(found):
                self._stand_in(found, method)

    def remove(self) -> None:
        """Save nothing from now on."""
        if not self.calls:
            raise Refused("no checkpoint was saved in the steps seen")
        super().remove()

    def facts(self) -> dict[str, Any]:
        """Return how many saves were seen."""
        return {"calls": self.calls}

    def _stand_in(self, owner: Any, name: str) -> None:
        """Treat the method ``owner.name(self, state, path)`` as a saver."""
        original = getattr(owner, name)

        def save(one: Any, *args: Any, **kwargs: Any) -> Any:
            return self._save(lambda *a, **k: original(one, *a, **k), args, kwargs, name)

        self.setting.hooks.patch(owner, name, save)

    def _save(self, original: Any, args: Any, kwargs: Any, label: str = "") -> Any:
        """Save, or while removed make it look as if."""
        label = label or getattr(original, "__name__", "")
        target = _target(args, kwargs)
        path = note(target)
        if not path:
            return original(*args, **kwargs)  # a buffer in memory: more than a checkpoint may hang on it
        self.calls += 1
        sort = label + " " + re.sub(r"\d+", "#", path)  # checkpoints of one sort differ in their numbers
        if sort in self.results and self._is_away(sort):
            self._pretend(path, target, sort)
            return self.results[sort]
        result = self.results[sort] = original(*args, **kwargs)
        self._keep(path, sort)
        return result

    def _is_away(self, sort: str) -> bool:
        """Return whether a checkpoint of this sort is not written."""
        return self.removed

    def _keep(self, path: str, sort: str) -> None:
        """Keep a second name for the file just written."""
        try:
            if os.path.isdir(path):  # torch.distributed.checkpoint writes several files
                self.folders.add(sort)
            if not os.path.isfile(path):
                return
            kept = f"{self.setting.order['scratch']}/kept-{os.getpid()}-{len(self.kept)}"
            kept = self.kept.setdefault(sort, kept)
            if os.path.lexists(kept):
                os.unlink(kept)
            os.link(path, kept)
        except OSError:
            self.kept.pop(sort, None)  # a file system without links: an empty file has to do

    def _pretend(self, path: str, target: Any, sort: str) -> None:
        """Let a file stand where one would have been written."""
        if hasattr(target, "write") or os.path.exists(path):
            return
        if sort in self.folders:
            os.makedirs(path, exist_ok=True)
            return
        try:
            os.link(self.kept[sort], path)
        except (KeyError, OSError):
            with open(path, "ab"):
                return


def _target(args: Any, kwargs: Any) -> Any:
    """Return where a saver was told to write."""
    for name in ("f", "file", "filename", "path", "checkpoint_id"):
        if name in kwargs:
            return kwargs[name]
    return args[1] if len(args) > 1 else None


def _let_save() -> None:
    """Stand in front of savers no more."""
    REMOVED.saves = None
