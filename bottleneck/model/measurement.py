"""A named number derived from a record, and the collection of them that rules read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .workload import Workload

Unit = Literal["s", "bytes", "frac", "count", "bool", "bytes_per_s", "per_s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementSpec:
    """What a measurement means; ``analyze/catalogue.py`` holds one for each.

    Attributes:
        id: Area, dot, name; the unit is in the name (``_s``, ``_bytes``, ``_frac``; counts are plural).
        unit: The unit.
        meaning: One sentence for a reader.
        given_by: The analysis that derives it.
    """

    id: str
    unit: Unit
    meaning: str
    given_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One value with what it rests on.

    Attributes:
        id: Name in the catalogue.
        value: In base units.
        unit: The unit.
        samples: How many observations it rests on.
        given_by: The analysis that derived it.
        interval: 95 % interval, or None where the value is exact or a setting.
    """

    id: str
    value: float
    unit: Unit
    samples: int
    given_by: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements(Mapping[str, Measurement]):
    """Measurements by id, the names that go with them, and why others are missing.

    Attributes:
        values_by_id: The measurements.
        labels: Texts for sentences, by id: ``input.hotspot`` -> "RandomRotation (data.py:41)".
        missing: Why a measurement could not be had, by id or by area ("input").
        workload: The times behind them, for a simulator; None where there were too few.
    """

    values_by_id: Mapping[str, Measurement]
    labels: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    workload: Workload | None = None

    def __getitem__(self, key: str) -> Measurement:
        """Return the measurement called ``key``; KeyError where it was not measured."""
        return self.values_by_id[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the ids."""
        return iter(self.values_by_id)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.values_by_id)

    def number(self, key: str) -> float | None:
        """Return the value of ``key`` in base units, or None where it was not measured."""
        found = self.values_by_id.get(key)
        return None if found is None else found.value

    def why_missing(self, key: str) -> str:
        """Return one sentence on why ``key`` was not measured."""
        area = key.split(".", 1)[0]
        return self.missing.get(key) or self.missing.get(area) or "nothing in this run gave it"
