"""How sure a verdict is, and what keeps it from being surer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .. import units
from ..model.finding import Finding
from ..model.measurement import Measurements

ENOUGH_STEPS = 30  # from here on the mean's 95 % interval is that of a normal distribution, near enough
NARROW = 0.10  # width of the share's interval: known within 5 points
DRIFT = 0.10  # a step that slows down or speeds up by a tenth has no one share
CROWDED = 0.15  # of the cores: above, what others do moves step times by more than the 5 points we aim at
CLEAR = 0.5  # above half of the step, nothing that was not judged can be larger


def confidence(
    finding: Finding | None, findings: Sequence[Finding], measurements: Measurements
) -> tuple[Literal["high", "medium", "low"], tuple[str, ...]]:
    """Return the level and one sentence for each thing that limits it: none is high, one medium."""
    reasons = tuple(filter(None, (_steps(measurements), _width(finding), _drift(measurements))))
    reasons += tuple(filter(None, (_crowd(measurements), _unjudged(finding, findings))))
    if not reasons:
        return "high", ()
    return ("medium" if len(reasons) == 1 else "low"), reasons


def _steps(measurements: Measurements) -> str | None:
    """Return what is wrong with the number of steps."""
    count = measurements.number("step.count")
    if count is None:
        return "How many steps were measured is not known."
    return f"Only {units.count(count)} steps were measured." if count < ENOUGH_STEPS else None


def _width(finding: Finding | None) -> str | None:
    """Return what is wrong with the share's interval."""
    if finding is None or finding.share_interval is None:
        return None
    low, high = finding.share_interval
    if high - low <= NARROW:
        return None
    return f"The share lies between {units.fraction(low)} and {units.fraction(high)}: steps differ a lot."


def _drift(measurements: Measurements) -> str | None:
    """Return whether the step changed while it was measured."""
    drift = measurements.number("step.drift_frac")
    if drift is None or abs(drift) < DRIFT:
        return None
    return f"Steps became {units.fraction(abs(drift))} {'slower' if drift > 0 else 'faster'} during the run."


def _crowd(measurements: Measurements) -> str | None:
    """Return whether the machine was disturbed: by other processes, or by other machines on the same host."""
    cores = measurements.number("host.usable_cores") or 0.0
    foreign = measurements.number("host.foreign_cores") or 0.0
    steal = measurements.number("host.steal_frac") or 0.0
    if cores and foreign / cores > CROWDED:
        kept = f"Other programs kept {foreign:.1f} of {units.count(cores)} cores busy"
        return f"{kept}: times are worse than they need be."
    if steal > CROWDED:
        return f"Other machines on this host took {units.fraction(steal)} of the CPU time."
    return None


def _unjudged(finding: Finding | None, findings: Sequence[Finding]) -> str | None:
    """Return which causes were not judged, unless what was found is larger than they can be."""
    if finding is not None and (finding.share or 0.0) > CLEAR:
        return None
    names = [one.rule for one in findings if one.state in ("unknown", "error")]
    return f"Not judged, for lack of measurements: {', '.join(names)}." if names else None
