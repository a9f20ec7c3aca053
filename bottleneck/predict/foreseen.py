"""Measurements that only a prediction gives, for rules, mitigations and the report to read."""

from __future__ import annotations

from dataclasses import replace

from ..analyze.catalogue import CATALOGUE
from ..model.measurement import Measurement, Measurements
from .summary import simulated_run
from .workers import best_workers


def with_predictions(measurements: Measurements) -> Measurements:
    """Return ``measurements`` with ``predict.*``; those that are there already stay as they are."""
    found = {name: one for name, one in _predicted(measurements).items() if name not in measurements}
    if not found:
        return measurements
    return replace(measurements, values_by_id=dict(sorted({**measurements.values_by_id, **found}.items())))


def _predicted(measurements: Measurements) -> dict[str, Measurement]:
    """Return what can be predicted of the run itself."""
    values: dict[str, tuple[float, int]] = {}
    run = simulated_run(measurements)
    if run is not None:
        values["predict.reproduction_err_frac"] = (run.reproduction_err, run.workload.count)
    best = best_workers(measurements)
    if best is not None:
        values["predict.best_workers"] = (float(best.workers), 1)
    return {
        name: Measurement(
            id=name, value=value, unit=CATALOGUE[name].unit, samples=count, given_by=CATALOGUE[name].given_by
        )
        for name, (value, count) in values.items()
    }
