"""Removes the script's waits for the device: what it reads there is answered with what it read a step before."""

from __future__ import annotations

import sys
import sysconfig
from typing import Any

from ..hooks import dress
from .arm import Arm, Refused

_METHODS = ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__", "__index__")
_MOST = 10_000  # answers of one step that are kept


class Sync(Arm):
    """Only lines of the script itself are answered so; libraries decide by what they read.

    A line that reads several times in a step gets the answers of a whole step in their order, and the real value
    after the last of them: a loop that ends when something is true ends as it did.
    """

    def check(self) -> None:
        """Refuse where nothing is waited for."""
        cuda = self.setting.torch.cuda
        if not (cuda.is_available() and cuda.is_initialized()):
            raise Refused("the script trains on the CPU, where nothing is waited for")
        self.start()

    def start(self) -> None:
        """Start with no answer."""
        self.answers: dict[Any, list[Any]] = {}
        self.latest: dict[Any, list[Any]] = {}
        self.asked: dict[Any, int] = {}
        self.count = self.spared = 0
        self.inside = False
        paths = sysconfig.get_paths()
        self.libraries = tuple({paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")})

    def prepare(self) -> None:
        """Stand in front of everything that waits."""
        torch, hooks = self.setting.torch, self.setting.hooks
        for name in _METHODS:
            original = getattr(torch.Tensor, name)
            hooks.patch(torch.Tensor, name, dress(self._reads(original, name), original))
        synchronize = torch.cuda.synchronize

        def wait(*args: Any, **kwargs: Any) -> Any:
            if self.removed and self._site(1, "synchronize") is not None:
                self.spared += 1
                return None
            return synchronize(*args, **kwargs)

        hooks.patch(torch.cuda, "synchronize", dress(wait, synchronize))

    def remove(self) -> None:
        """Wait no more."""
        if not self.answers:
            raise Refused("no line of the script reads from the device")
        super().remove()

    def after_step(self, ordinary: bool) -> None:
        """Keep the answers of the step that has ended."""
        if ordinary and self.latest:
            self.answers, self.latest, self.count = self.latest, {}, 0
        self.asked.clear()

    def close(self) -> None:
        """Let go of the answers."""
        super().close()
        self.answers, self.latest = {}, {}

    def facts(self) -> dict[str, Any]:
        """Return how many waits were spared."""
        return {"spared": self.spared}

    def is_waited_for(self, tensor: Any) -> bool:
        """Return whether reading ``tensor`` waits for a device."""
        return bool(tensor.device.type != "cpu")

    def _reads(self, original: Any, name: str) -> Any:
        """Return the method ``original``, answered from a step before while removed."""

        def read(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            if self.inside or not self.is_waited_for(tensor):
                return original(tensor, *args, **kwargs)
            site = self._site(1, name)
            if site is None or (tensor.requires_grad and name == "cpu"):
                return original(tensor, *args, **kwargs)
            site = (*site, tuple(tensor.shape), tensor.dtype)
            if self.removed:
                known, at = self.answers.get(site, ()), self.asked.get(site, 0)
                self.asked[site] = at + 1
                if at < len(known):
                    self.spared += 1
                    return _fresh(known[at])
            return self._really(original, site, tensor, args, kwargs)

        return read

    def _really(self, original: Any, site: Any, tensor: Any, args: Any, kwargs: Any) -> Any:
        """Return the real value and remember it."""
        self.inside = True  # some of these are written by others of them
        try:
            value = original(tensor, *args, **kwargs)
        finally:
            self.inside = False
        if not self.removed and self.count < _MOST:
            self.count += 1
            self.latest.setdefault(site, []).append(_fresh(value))
        return value

    def _site(self, depth: int, name: str) -> Any:
        """Return what tells the calling line from others, None where it is a library's."""
        frame = sys._getframe(depth + 1)
        file = frame.f_code.co_filename
        if file.startswith(("<frozen", *self.libraries)) or "site-packages" in file:
            return None
        return frame.f_code, frame.f_lineno, name  # instructions change their places as Python adapts them


def _fresh(value: Any) -> Any:
    """Return a value that the script may change without changing what is kept."""
    if hasattr(value, "clone"):
        return value.detach().clone()
    if hasattr(value, "copy"):
        return value.copy()
    return value
