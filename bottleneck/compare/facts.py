"""What a comparison needs of one run: its report, and from its record how even its steps are and what it logged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..analyze.logged import Logged, logged
from ..analyze.measure import analyse
from ..analyze.observed import observed_run
from ..analyze.profiled_values import analyse_trace
from ..analyze.timeline import Timeline
from ..model.comparison import Estimate
from ..model.record import RunRecord
from ..model.report import PHASES, Report
from . import estimate

# Lines of the account (analyze/account.py) that a run without us would not have.
_OURS = ("experiments", "our own measuring")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One run.

    Attributes:
        name: What to call it.
        report: The report on it.
        step: Seconds per step, with the error that the evenness of its steps gives; no error without a record.
        phases: The same by phase.
        logged: Numbers it logged, by name; None where there is no record to read them from.
    """

    name: str
    report: Report
    step: Estimate
    phases: Mapping[str, Estimate] = field(default_factory=dict)
    logged: Mapping[str, Logged] | None = None


def unusable(report: Report) -> str:
    """Return why a run can't be compared, or "" where it can."""
    if report.step is None:
        return f"no steps in it ({report.verdict.result})"
    mean = finite(report.step.seconds.get("mean"))
    if mean is None or mean <= 0:
        return "no step of it could be timed"
    return ""


def read(name: str, report: Report, record: RunRecord | None) -> Facts:
    """Return the facts of a run that is not ``unusable``; without its record some are unknown."""
    means = _means(report)
    if record is None:
        phases = {phase: Estimate(value=value) for phase, value in means.items() if phase}
        return Facts(name=name, report=report, step=Estimate(value=means[""]), phases=phases)
    analysed = analyse_trace(record) if record.source == "trace" else analyse(record)
    errors = _errors(analysed.timelines[0]) if analysed.timelines else {}
    found = {
        phase: Estimate(value=value, error=errors[phase].error, degrees=errors[phase].degrees)
        if phase in errors
        else Estimate(value=value)
        for phase, value in means.items()
    }
    step = found.pop("")
    # what is logged while something is taken away tells nothing of the training as it is
    kept = logged(observed_run(record).processes)
    return Facts(name=name, report=report, step=step, phases=found, logged=kept)


def _means(report: Report) -> dict[str, float]:
    """Return seconds per step by phase, and under "" those of the whole step."""
    assert report.step is not None
    known = {part.phase: finite(part.seconds) for part in report.step.phases}
    return {
        "": report.step.seconds["mean"],
        **{phase: value for phase, value in known.items() if value is not None and value >= 0},
    }


def finite(value: object) -> float | None:
    """Return ``value`` as a float, None where it is no finite number: a report may come from anywhere."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _errors(timeline: Timeline) -> dict[str, Estimate]:
    """Return means of the timed steps with their errors, by phase, and under "" of the whole step."""
    seconds = timeline.phase_ns()[timeline.steady.timed] / 1e9
    found = {phase: estimate.of_steps(seconds[:, at]) for at, phase in enumerate(PHASES)}
    return {"": estimate.of_steps(np.asarray(seconds.sum(axis=1))), **found}


def number(report: Report, identifier: str) -> float | None:
    """Return a measurement of ``report``, None where it was not made."""
    entry = report.measurements.get(identifier)
    return finite(entry.get("value")) if isinstance(entry, Mapping) else None


def samples(report: Report) -> float | None:
    """Return how many samples a step takes on all ranks together, None where that is not known."""
    batch = number(report, "input.batch_size")
    if not batch:
        return None
    return batch * (number(report, "step.micro_batches") or 1.0) * (number(report, "ddp.world") or 1.0)


def run_s(report: Report) -> float | None:
    """Return the seconds of a run that came to its own end, without our experiments; else None."""
    run = report.run
    wall = finite(run.get("wall_s"))
    if run.get("exit_code") != 0 or run.get("stopped_by_us") or wall is None:
        return None
    account = run.get("account")
    rows = account if isinstance(account, (list, tuple)) else ()
    ours = sum(_seconds(row) for row in rows)
    return wall - ours if wall > ours else None


def _seconds(row: object) -> float:
    """Return the seconds of a line of the account that is ours, else 0."""
    name = row.get("name") if isinstance(row, Mapping) else getattr(row, "name", "")
    value = row.get("seconds") if isinstance(row, Mapping) else getattr(row, "seconds", 0.0)
    return (finite(value) or 0.0) if name in _OURS else 0.0
