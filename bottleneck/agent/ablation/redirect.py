"""Sends everything the script writes to a scratch folder: from the first experiment, or the start of a trial, on.

Out of reach, because none of it passes Python's functions in this process: what other processes write (loader
workers that run already, programs the script starts), and libraries that open files for writing in C (HDF5, Arrow).
Files that are open already are followed whoever writes to them, as their descriptors are turned to copies.
"""

from __future__ import annotations

import gc
import logging
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from ..hooks import Hooks, dress
from . import folders, writing
from .arm import Refused
from .descriptors import Descriptors
from .overlay import Overlay

_KEPT = {
    "posix",
    "nt",
    "_io",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "importlib._bootstrap_external",
}
When = Callable[[str, Callable[[Any], None]], None]
_OURS = __name__.partition(".ablation")[0]  # its own names for the real functions stay
_LEAST_FREE = 1 << 30  # bytes: a script whose disk fills up fails


class Redirect:
    """All that stands between the script and its files."""

    def __init__(self, hooks: Hooks, run: str, scratch: str) -> None:
        """Patch nothing yet; ``run`` is the run folder, which stays real."""
        self.hooks = hooks
        self.run = run
        self.scratch = scratch
        self.replaced: dict[int, tuple[Any, Any]] = {}

    def start(self, when: When) -> None:
        """Redirect from now on; ``when(name, call)`` calls once a library is imported, at once where it is.

        Raises:
            Refused: Something of the script's could not be kept from its real place.
        """
        overlay = Overlay(self.run, self.scratch)
        if shutil.disk_usage(overlay.root).free < _LEAST_FREE:
            raise Refused("there is too little free space for what the script would save")
        descriptors = Descriptors(overlay)
        descriptors.check()
        for owner, name, make in (*folders.READING, *folders.CHANGING, *writing.OPENING):
            original = getattr(owner, name, None)
            if original is not None:
                self._replace(owner, name, dress(make(overlay, original), original))
        writing.install(overlay, when, self._replace)
        when("torch", lambda torch: self._replace_copies())  # torch.load is torch.serialization's
        self._replace_copies()
        self._replace_defaults()
        self.hooks.patch(sys, "dont_write_bytecode", True)
        if hasattr(shutil, "_use_fd_functions"):  # rmtree by descriptors of folders would pass us by
            self.hooks.patch(shutil, "_use_fd_functions", False)
        self.hooks.on_undo(descriptors.undo)
        descriptors.turn()

    def _replace(self, owner: Any, name: str, replacement: Any) -> None:
        """Patch ``owner.name`` and remember it, to find its other names."""
        original = getattr(owner, name)
        self.hooks.patch(owner, name, replacement)
        self.replaced[id(original)] = (original, replacement)

    def _replace_copies(self) -> None:
        """Patch every other name that a module gave to a function that is patched (``from os import replace``)."""
        for name, module in list(sys.modules.items()):
            if module is None or name in _KEPT or name.startswith(_OURS) or not isinstance(module, type(sys)):
                continue
            for attribute, value in list(vars(module).items()):
                found = self.replaced.get(id(value))
                if found is not None and found[0] is value:
                    self.hooks.patch(module, attribute, found[1])
            if name.partition(".")[0] in ("glob", "pathlib"):  # keep some in classes of theirs
                self._replace_in_classes(module)

    def _replace_in_classes(self, module: Any) -> None:
        """Patch the functions that classes of ``module`` call as attributes of their own."""
        for owner in [value for value in vars(module).values() if isinstance(value, type)]:
            for attribute, value in list(vars(owner).items()):
                found = self.replaced.get(id(getattr(value, "__func__", value)))
                if found is not None:
                    self.hooks.patch(owner, attribute, staticmethod(found[1]))

    def _replace_defaults(self) -> None:
        """Let temporary files and log files that exist already use what is patched."""
        closer: Any = getattr(tempfile, "_TemporaryFileCloser", None)
        for function in vars(closer).values() if closer is not None else ():
            defaults = getattr(function, "__defaults__", None)
            if defaults and any(id(value) in self.replaced for value in defaults):
                self._set(function, "__defaults__", tuple(self._now(value) for value in defaults))
        for one in gc.get_objects():
            if issubclass(type(one), logging.FileHandler) and "_builtin_open" in vars(one):
                self._set(one, "_builtin_open", self._now(one._builtin_open))

    def _now(self, value: Any) -> Any:
        """Return what ``value`` is replaced by, if it is."""
        found = self.replaced.get(id(value))
        return value if found is None else found[1]

    def _set(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute until all is undone."""
        before = getattr(owner, name)
        setattr(owner, name, value)
        undo: Callable[[], None] = lambda: setattr(owner, name, before)  # noqa: E731
        self.hooks.on_undo(undo)
