"""Numbers of threads that torch computes with."""

from __future__ import annotations

import os
import sys
from typing import Any

from ..hooks import Hooks, dress
from .base import Override, Refused, Tell

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Threads(Override):
    """Sets the threads of one operator (``intra``) and of operators beside each other (``inter``).

    The environment says how many before torch is imported where a launcher or the user has set it; what the script
    sets later is replaced as well, as that is what the advice is about. Loader workers keep the one thread they have.
    """

    name = "threads"
    known = ("intra", "inter")

    def check(self) -> None:
        """Read the settings."""
        self.intra, self.inter = self.whole("intra", 1), self.whole("inter", 1)
        if self.intra is None and self.inter is None:
            raise Refused("threads: there is nothing to set")
        self.replaced: list[str] = []

    def boot(self) -> None:
        """Replace the variables that are set to another number."""
        for name in _VARIABLES if self.intra is not None else ():
            before = os.environ.get(name)
            if before is not None and before != str(self.intra):
                os.environ[name] = str(self.intra)
                self.replaced.append(f"{name} {before} -> {self.intra}")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Set the numbers where they differ, and keep them."""
        if _in_worker(torch):
            return
        for text in self.replaced:
            tell.applied(text, "", 0)
        for name, wanted in (("num_threads", self.intra), ("num_interop_threads", self.inter)):
            if wanted is not None:
                self._set(torch, name, wanted, tell)
                self._keep(torch, hooks, name, wanted, tell)

    def _set(self, torch: Any, name: str, wanted: int, tell: Tell) -> None:
        """Set one number where it is another one now; libraries loaded later read it from the environment."""
        before = getattr(torch, "get_" + name)()
        if before == wanted:
            return
        getattr(torch, "set_" + name)(wanted)
        if name == "num_threads":
            os.environ.update(dict.fromkeys(_VARIABLES, str(wanted)))
        tell.applied(f"{name} {before} -> {wanted}", "", 0)

    def _keep(self, torch: Any, hooks: Hooks, name: str, wanted: int, tell: Tell) -> None:
        """Let calls of the script that set the number set ours."""
        original = getattr(torch, "set_" + name)

        def set_threads(number: int) -> None:
            if number == wanted or _in_worker(torch):
                original(number)
            else:  # torch takes the number of "inter" once only: ours stands
                tell.applied(f"set_{name}({number}) -> {wanted}")

        hooks.patch(torch, "set_" + name, dress(set_threads, original))


def _in_worker(torch: Any) -> bool:
    """Return whether a loader's worker, or the loop around it, is running."""
    data = sys.modules.get("torch.utils.data._utils.worker")
    if data is not None and data._worker_info is not None:
        return True
    return sys._getframe(2).f_globals.get("__name__") == "torch.utils.data._utils.worker"
