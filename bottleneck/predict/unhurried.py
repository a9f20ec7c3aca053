"""Steps that no longer wait for batches: what computes in them may take less time than behind a wait.

After a wait threads have gone to sleep, other programs have had the cores, caches are cold. On two cores a loop of
9.7 ms took 14.7 ms behind its loader (tests/gauntlet, one_worker_too_few) and one of 32 ms took 46 (example_storage,
without any worker that could be in its way). A replay of measured times keeps them as they were.
"""

from __future__ import annotations

from dataclasses import replace

from ..model.finding import ALIKE
from ..model.measurement import Measurements
from .change import Change, together
from .estimate import Estimate, simulated
from .simulator import Simulator

Changes = tuple[Change, Change, Change]  # of which a change does at least, likely and at most what they say

# Of the step: an experiment with a wider interval says too little, as in diagnose/ceiling.py.
NARROW = 2 * ALIKE
_COMPUTING = ("forward", "backward", "optimizer", "other")
# Of the time they took: a guard, not a measurement. The two above came to 0.66 and 0.69.
_LEAST = 1 / 3


def unhurried(predicted: Estimate, run: Simulator, measurements: Measurements, changes: Changes) -> Estimate:
    """Return ``predicted`` of another loader, its range up to what it gains if the loop is as fast as without waits.

    How long the loop takes then is known from the experiment without the input, in the same run. What of its gain was
    no wait may be the workers' share of the cores, which they keep. The likely value stays: of two trainings that were
    really given more workers, one came to lie at either end.
    """
    factor = _factor(run, measurements)
    if factor >= 1 or predicted.speedup is None:
        return predicted
    lighter = Change(phases=tuple((phase, factor) for phase in _COMPUTING))
    least, likely, most = (together((change, lighter)) for change in changes)
    fed = simulated(run, measurements, (least, likely, most)).speedup
    if fed is None:
        return predicted
    high = max(predicted.speedup.high, fed.likely)
    return replace(predicted, speedup=replace(predicted.speedup, high=high))


def _factor(run: Simulator, measurements: Measurements) -> float:
    """Return what part of the loop's own time is left where it never waits, 1 where nothing tells."""
    found, wait = measurements.get("ceiling.input_frac"), measurements.number("input.wait_frac")
    if found is None or found.interval is None or wait is None or found.value <= 0 or run.on_device:
        return 1.0
    if found.interval[1] - found.interval[0] > NARROW:
        return 1.0
    computing = sum(run.phase_s()[phase] for phase in _COMPUTING)
    if computing <= 0:
        return 1.0
    fed_s = (1 - found.value) * run.step_s()
    beyond = run.step_s(Change(cpu_factor=0.0, io_factor=0.0)) - fed_s
    waited = min(1.0, wait / found.value)
    return min(1.0, max(_LEAST, 1 - waited * beyond / computing))
