"""Settings of the allocator of GPU memory, which reads them from the environment when it is first used."""

from __future__ import annotations

import os
from typing import Any

from ..hooks import Hooks
from .base import Override, Refused, Tell

_OLD, _NEW = (
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
)  # torch from 2.9 on reads both, the new one first
_SWITCHES = ("expandable_segments",)
_NUMBERS = ("max_split_size_mb", "roundup_power2_divisions", "garbage_collection_threshold")


class Allocator(Override):
    """Adds options to ``PYTORCH_CUDA_ALLOC_CONF``. Those the user has set stay, and refuse the change."""

    name = "allocator"
    known = _SWITCHES + _NUMBERS

    def check(self) -> None:
        """Read the settings as the text of the variable."""
        switches = [f"{name}:{self.switch(name)}" for name in _SWITCHES if name in self.settings]
        numbers = [f"{name}:{self.settings[name]:g}" for name in _NUMBERS if name in self.settings]
        self.options = switches + numbers
        if not self.options:
            raise Refused("allocator: there is nothing to set")
        self.variable = self.text = ""

    def boot(self) -> None:
        """Set the variable. May raise ``Refused``."""
        self.variable = _NEW if _NEW in os.environ else _OLD
        given = [part.strip() for part in os.environ.get(self.variable, "").split(",") if part.strip()]
        added = [option for option in self.options if option not in given]
        if not added:
            return  # the user wants it already, or the process that started this one has told of it
        for option in added:
            name = option.partition(":")[0]
            if any(part.partition(":")[0] == name for part in given):
                raise Refused(f"{self.variable} sets {name} already")
        if any(part.replace(" ", "") == "backend:cudaMallocAsync" for part in given):
            raise Refused("the script uses cudaMallocAsync, which has no such options")
        self.text = os.environ[self.variable] = ",".join(given + added)

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Tell what was set, where there is a GPU to set it for. May raise ``Refused``."""
        if not self.text:
            return
        if os.environ.get(self.variable) != self.text:
            raise Refused(f"the script sets {self.variable} itself")
        if (
            not torch.version.cuda or torch.cuda._device_count_nvml() <= 0
        ):  # asks the driver without using the GPU
            raise Refused("there is no GPU whose memory torch could allocate")
        tell.applied(f"{self.variable}={self.text}", "", 0)
