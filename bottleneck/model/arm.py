"""One arm of a pair: a fresh process of the script, with or without a change, as it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .record import SystemSample


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """What one process of a trial did.

    Attributes:
        start_ns: When it was started, monotonic.
        ends_ns: The end of each optimizer step, monotonic, in order, of the process that took most of them.
        losses: (optimizer steps before it, value) of each backward pass that started from one number.
        told: What the overrides told: ``name``, ``state`` ("applied" or "refused"), ``detail``, ``file``, ``line``,
            ``count``.
        pids: Its processes that ran torch.
        system: Readings of the machine and the processes while it ran.
        seconds: From its start to its end.
        cpu_s: CPU seconds of all its processes, those of workers that ended included; None where not known.
        quota_cores: The CPU quota of its control group, in cores; None without one.
        problem: Why it can't be used, "" where it can.
    """

    start_ns: int
    ends_ns: npt.NDArray[np.int64]
    losses: tuple[tuple[int, float], ...]
    told: tuple[Mapping[str, Any], ...]
    pids: tuple[int, ...]
    system: tuple[SystemSample, ...]
    seconds: float
    cpu_s: float | None = None
    quota_cores: float | None = None
    problem: str = ""

    @property
    def refused(self) -> str:
        """Return why an override did not act, "" where all did or none was asked for."""
        reasons = [str(one.get("detail", "")) for one in self.told if one.get("state") == "refused"]
        return "; ".join(dict.fromkeys(reasons))

    @property
    def applied(self) -> tuple[Mapping[str, Any], ...]:
        """Return what was changed, and where."""
        return tuple(one for one in self.told if one.get("state") == "applied")
