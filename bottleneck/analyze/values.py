"""Collects what the analyses give, checked against the catalogue."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from ..model.measurement import Measurement, Measurements
from ..model.workload import Workload
from ..verify.statistics import t95
from .catalogue import CATALOGUE, LABELS


class Values:
    """Measurements, labels and reasons under construction."""

    def __init__(self) -> None:
        """Start empty."""
        self._values: dict[str, Measurement] = {}
        self._labels: dict[str, str] = {}
        self._missing: dict[str, str] = {}
        self.workload: Workload | None = None

    def give(
        self,
        identifier: str,
        value: float | None,
        samples: int = 1,
        interval: tuple[float, float] | None = None,
    ) -> None:
        """Add one measurement; None and what is no finite number count as not measured."""
        spec = CATALOGUE[identifier]
        if value is None or not math.isfinite(value):
            return
        if interval is not None and not all(math.isfinite(edge) for edge in interval):
            interval = None
        self._values[identifier] = Measurement(
            id=identifier,
            value=float(value),
            unit=spec.unit,
            samples=int(samples),
            given_by=spec.given_by,
            interval=interval,
        )

    def label(self, identifier: str, text: str) -> None:
        """Add a text for sentences."""
        assert identifier in LABELS, identifier
        if text:
            self._labels[identifier] = text

    def lack(self, identifier_or_area: str, reason: str) -> None:
        """Say why a measurement, or a whole area of them, could not be had."""
        self._missing.setdefault(identifier_or_area, reason)

    def measured(self, identifier: str) -> Measurement | None:
        """Return a measurement given earlier, or None."""
        return self._values.get(identifier)

    def number(self, identifier: str) -> float | None:
        """Return a value given earlier, or None."""
        found = self.measured(identifier)
        return None if found is None else found.value

    def build(self) -> Measurements:
        """Return what was collected."""
        return Measurements(
            values_by_id=dict(sorted(self._values.items())),
            labels=dict(sorted(self._labels.items())),
            missing=dict(sorted(self._missing.items())),
            workload=self.workload,
        )


def ratio_interval(
    parts: npt.NDArray[np.float64], wholes: npt.NDArray[np.float64], blocks: int = 20
) -> tuple[float, float] | None:
    """Return a 95 % interval of sum(parts) / sum(wholes) by batch means, or None for fewer than four values.

    Consecutive steps are not independent; means of up to 20 consecutive blocks nearly are.

    Args:
        parts: One value per step, shape (n,).
        wholes: The same for the denominators.
        blocks: How many blocks at most.

    Source:
        Batch means, as in Kalibera and Jones, "Rigorous Benchmarking in Reasonable Time", ISMM 2013.
    """
    # A profiler's few steps are taken one by one: two blocks of two would say next to nothing (t is 12.7).
    count = len(parts) if 4 <= len(parts) < 10 else min(blocks, len(parts) // 2)
    if count < 2 or wholes.sum() <= 0:
        return None
    edges = np.linspace(0, len(parts), count + 1).astype(int)
    shares = np.array(
        [parts[i:j].sum() / max(wholes[i:j].sum(), 1e-12) for i, j in itertools.pairwise(edges)]
    )
    center = float(parts.sum() / wholes.sum())
    half = t95(count - 1) * float(shares.std(ddof=1)) / math.sqrt(count)
    return center - half, center + half
