"""What became of taking one resource away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["measured", "bracket", "refused", "invalid", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """One resource and the step without it.

    Attributes:
        resource: ``input``, ``transfer``, ``logging``, ``checkpoint``, ``evaluation``, ``gc``, ``sync``,
            ``collectives``, or ``loader_alone``, whose step is a batch.
        state: ``measured``; ``bracket`` where it was slowed down instead; ``refused`` or ``invalid`` by the agent;
            ``skipped`` for want of time.
        step_s: Mean step as it is, in the same minutes.
        without_s: Mean step without it.
        share: What it costs, as a fraction of the step.
        interval: 95 % interval of the share; None where it has no end.
        pairs: Pairs of blocks behind it.
        reason: Why there is no figure, or "".
    """

    resource: str
    state: State
    step_s: float | None = None
    without_s: float | None = None
    share: float | None = None
    interval: tuple[float, float] | None = None
    pairs: int = 0
    reason: str = ""
