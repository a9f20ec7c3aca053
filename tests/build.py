"""Measurements for tests, from plain values."""

from __future__ import annotations

from collections.abc import Mapping

from trainbottleneck.analyze.catalogue import CATALOGUE
from trainbottleneck.model.measurement import Measurement, Measurements
from trainbottleneck.model.workload import Workload


def measurements(
    given: Mapping[str, float] | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    samples: int = 100,
    workload: Workload | None = None,
    **values: float,
) -> Measurements:
    """Return measurements of ``given`` and ``values``; in keywords two underscores stand for the dot.

    ``measurements(input__wait_frac=0.5)`` has ``input.wait_frac``. A name that is not in the catalogue
    is a KeyError, so that a test can't rest on a measurement that does not exist.
    """
    every = {**(given or {}), **{name.replace("__", ".", 1): value for name, value in values.items()}}
    found = {
        name: Measurement(
            id=name,
            value=float(value),
            unit=CATALOGUE[name].unit,
            samples=samples,
            given_by=CATALOGUE[name].given_by,
            interval=(intervals or {}).get(name),
        )
        for name, value in every.items()
    }
    return Measurements(values_by_id=found, labels=dict(labels or {}), workload=workload)
