"""Loops that are observed for a while and then experimented with, on a virtual clock."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from trainbottleneck.model.span import Kind

from .records import Loop

Step = Callable[[Loop], object]
ABBA = (False, True, True, False)


def experiment(
    loop: Loop,
    arm: str,
    as_is: Step,
    without: Step,
    *,
    pairs: int = 2,
    block: int = 10,
    noise: float = 0.01,
    state: str = "done",
    reason: str = "",
) -> Loop:
    """Run blocks of ``as_is`` and ``without`` in turn and tell how it ended, as the agent does."""
    rng = np.random.default_rng(len(arm) + pairs)
    if not any(event.kind == "experiments" for event in loop.events):
        loop.tell("experiments", steps=0)
    for removed in ABBA * pairs if state == "done" else ():
        with loop.inside(Kind.MARK, name=arm, a=int(removed), b=block):
            for _ in range(block):
                (without if removed else as_is)(loop)
            loop.other(noise * abs(float(rng.standard_normal())) * 0.01)
    return loop.tell("ablated", arm=arm, state=state, reason=reason, steps=0, fingerprint={})


def observed(step: Step, count: int = 60) -> Loop:
    """Return a loop that took ``count`` steps."""
    loop = Loop().begin()
    for _ in range(count):
        step(loop)
    return loop
