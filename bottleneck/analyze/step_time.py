"""How long steps take, how even they are, and the share of each phase."""

from __future__ import annotations

import numpy as np

from ..model.report import PHASES
from .phases import COLUMN
from .timeline import Timeline
from .values import Values, ratio_interval

_STALL_PHASES = ("data_wait", "checkpoint", "evaluation", "logging", "gc")


def analyse(timeline: Timeline, values: Values) -> None:
    """Give the ``step.*`` and ``compute.*`` shares of one training process."""
    _times(timeline, values)
    _shares(timeline, values)
    values.label("step.definition", timeline.boundaries.definition)


def _times(timeline: Timeline, values: Values) -> None:
    """Give medians, spread and drift of step time."""
    seconds = timeline.step_ns[timeline.steady.timed] / 1e9
    count = len(seconds)
    values.give("step.count", count, count)
    values.give("step.warmup", timeline.steady.excluded.get("warm-up", 0))
    if not count:
        return
    values.give("step.time_s", float(np.median(seconds)), count)
    values.give("step.p95_s", float(np.percentile(seconds, 95)), count)
    values.give("step.cv_frac", float(seconds.std() / seconds.mean()), count)
    values.give("step.passes", float(np.median(timeline.passes[timeline.steady.timed])), count)
    values.give("step.micro_batches", float(np.median(timeline.micro_batches[timeline.steady.timed])), count)
    if count >= 30:
        third = count // 3
        drift = float(np.median(seconds[-third:]) / np.median(seconds[:third]) - 1)
        values.give("step.drift_frac", drift, 2 * third)


def _shares(timeline: Timeline, values: Values) -> None:
    """Give seconds and share of every phase of the mean step, with intervals over blocks of steps."""
    mean = timeline.mean_phases()
    whole = float(mean.sum())
    timed, phases = timeline.steady.timed, timeline.phase_ns()
    count = int(np.count_nonzero(timed))
    values.give("step.mean_s", whole, count)
    if whole <= 0:
        return
    steps = phases[timed].sum(axis=1).astype(float)
    for number, phase in enumerate(PHASES):
        share = float(mean[number]) / whole
        interval = ratio_interval(phases[timed, number].astype(float), steps)
        if interval is not None:  # centred on the share with stalls spread over all settled steps
            half = (interval[1] - interval[0]) / 2
            interval = (max(0.0, share - half), min(1.0, share + half))
        values.give(f"step.{phase}_s", float(mean[number]), count)
        values.give(f"step.{phase}_frac", share, count, interval)
    values.give("step.busy_s", whole - float(sum(mean[COLUMN[p]] for p in _STALL_PHASES)), count)
    model = float(mean[COLUMN["forward"]] + mean[COLUMN["backward"]])
    values.give("compute.model_frac", model / whole, count)
    values.give("compute.frac", (model + float(mean[COLUMN["optimizer"]])) / whole, count)
