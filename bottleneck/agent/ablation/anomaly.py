"""Removes autograd's anomaly detection: the stack kept for each operator, the look for NaN in each gradient."""

from __future__ import annotations

from ..anomaly import Switch
from .arm import Arm, Refused


class Anomaly(Arm):
    """Detection is off while removed, also where the script switches it on for each step."""

    def check(self) -> None:
        """Read the flag."""
        self.switch = Switch(self.setting.torch)

    def prepare(self) -> None:
        """Hear of every change of the flag."""
        self.switch.install(self.setting.torch, self.setting.hooks)

    def remove(self) -> None:
        """Keep it off. May raise ``Refused``."""
        if not self.switch.seen:
            raise Refused("anomaly detection was off in the steps seen")
        super().remove()
        self.switch.hold()

    def give_back(self) -> None:
        """Give the script what it asked for."""
        if self.removed:
            super().give_back()
            self.switch.release()
