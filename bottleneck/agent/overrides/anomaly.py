"""Keeps autograd's anomaly detection off."""

from __future__ import annotations

from typing import Any

from ..anomaly import Switch
from ..hooks import Hooks, dress
from .base import Override, Refused, Tell


class Anomaly(Override):
    """Lets ``detect_anomaly`` and ``set_detect_anomaly`` do nothing, wherever the script calls them."""

    name = "anomaly"
    known = ("mode",)

    def check(self) -> None:
        """Look at the switch. May raise ``Refused``."""
        if self.switch("mode"):
            raise Refused("anomaly: it is only ever switched off")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Hold the flag, and tell of each call that would have set it."""
        switch = Switch(torch)
        switch.install(torch, hooks)
        ask = torch.set_anomaly_enabled

        def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
            if mode:
                tell.applied("anomaly detection stays off")
            ask(mode, check_nan)

        hooks.patch(torch, "set_anomaly_enabled", dress(set_anomaly_enabled, ask))
        switch.hold()
