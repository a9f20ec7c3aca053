"""The cores that the training may run on."""

from __future__ import annotations

import os
import sys
from typing import Any

from ..hooks import Hooks
from .base import Override, Refused, Tell

_LAUNCHERS = ("torchrun", "accelerate", "deepspeed", "torch.distributed.run", "torch.distributed.launch")


class Affinity(Override):
    """Keeps the training, its threads and its loader workers on the first ``cores`` of the cores it may use.

    Ranks of one machine get the ones after each other's. On Linux the first numbers are cores of their own, before
    the second threads of the same ones.
    """

    name = "affinity"
    known = ("cores",)

    def check(self) -> None:
        """Read the setting."""
        self.cores = self.whole("cores", 1)
        if self.cores is None or not hasattr(os, "sched_setaffinity"):
            raise Refused(
                "affinity: no number of cores is given" if self.cores is None else "not on this system"
            )
        self.text = ""

    def boot(self) -> None:
        """Choose the cores before any thread starts, as threads and children inherit them."""
        if _is_launcher() or self.cores is None:
            return  # its ranks would inherit what is left
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) == self.cores:
            return
        rank = int(os.environ.get("LOCAL_RANK", "0"))
        chosen = usable[rank * self.cores : (rank + 1) * self.cores]
        if len(chosen) < self.cores:
            raise Refused(
                f"{self.cores} cores for local rank {rank} are more than the {len(usable)} there are"
            )
        os.sched_setaffinity(0, chosen)
        self.text = f"{len(usable)} cores -> {self.cores}: {', '.join(map(str, chosen))}"

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Tell what was done."""
        if self.text:
            tell.applied(self.text, "", 0)


def _is_launcher() -> bool:
    """Return whether this process only starts ranks; ``sys.argv`` is not complete before the script runs."""
    words = [os.path.basename(word) for word in sys.orig_argv[:4]]
    return "LOCAL_RANK" not in os.environ and any(word in _LAUNCHERS for word in words)
