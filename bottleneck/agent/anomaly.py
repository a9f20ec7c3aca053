"""Autograd's anomaly detection: what the script asks for, and how to keep it off meanwhile."""

from __future__ import annotations

from typing import Any

from .hooks import Hooks


class Switch:
    """Stands between the script and torch's flag; the script reads back what it asked for.

    Attributes:
        wanted: What the script asked for last: whether it is on, and whether backward looks for NaN.
        seen: Whether it was asked for at any time.
        held: Whether it is kept off.
    """

    def __init__(self, torch: Any) -> None:
        """Read the flag."""
        self._set = torch.set_anomaly_enabled
        self.wanted = (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
        self.seen = self.wanted[0]
        self.held = False

    def install(self, torch: Any, hooks: Hooks) -> None:
        """Hear what the script asks for: ``torch.autograd`` calls these functions by their names in ``torch``."""
        hooks.patch(torch, "set_anomaly_enabled", self._ask)
        hooks.patch(torch, "is_anomaly_enabled", lambda: self.wanted[0])
        hooks.patch(torch, "is_anomaly_check_nan_enabled", lambda: self.wanted[1])

    def hold(self) -> None:
        """Keep it off from now on."""
        self.held = True
        self._set(False)

    def release(self) -> None:
        """Let the script have what it asked for."""
        self.held = False
        self._set(*self.wanted)

    def _ask(self, mode: bool, check_nan: bool = True) -> None:
        """Stand in for ``torch.set_anomaly_enabled``."""
        self._set(bool(mode) and not self.held, check_nan)
        self.wanted = (bool(mode), bool(check_nan))
        self.seen = self.seen or bool(mode)
