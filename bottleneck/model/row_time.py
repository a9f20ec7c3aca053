"""What an operator takes in a step, from the steps in which its calls were timed."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def of_a_step(times: Sequence[float]) -> float:
    """Return the time of a step, in the unit of ``times``, one for each counted step.

    It is the median of steps that all make the call, which one disturbed step does not change. Where batches differ in
    shape, calls of one shape are in some steps only; then it is the mean, since the median would often be nothing.
    """
    return statistics.median(times) if all(times) else statistics.fmean(times)
