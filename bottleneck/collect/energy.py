"""Energy that the processors have used, as they count it themselves (RAPL): often for root alone to read."""

from __future__ import annotations

from pathlib import Path

_POWERCAP = Path("/sys/class/powercap")
_PACKAGE = (
    "intel-rapl:[0-9]*"  # AMD's counters carry the same name; what has two colons is a part of a package
)


class EnergyMeter:
    """Sums up the packages' counters, which wrap around every few minutes under load.

    Source:
        Linux, Documentation/power/powercap: energy_uj, max_energy_range_uj.
    """

    def __init__(self, root: Path = _POWERCAP) -> None:
        """Find the counters that can be read below ``root``."""
        zones = [zone for zone in sorted(root.glob(_PACKAGE)) if zone.name.count(":") == 1]
        self._last: dict[Path, int] = {}
        self._total = 0
        for zone in zones:
            value = _number(zone / "energy_uj")
            if value is not None:
                self._last[zone] = value

    def read(self) -> float | None:
        """Return joules since this object was made, None without a counter to read."""
        for zone, before in self._last.items():
            value = _number(zone / "energy_uj")
            if value is None:
                continue
            wrapped = (_number(zone / "max_energy_range_uj") or 0) if value < before else 0
            self._total += max(0, value - before + wrapped)
            self._last[zone] = value
        return self._total / 1e6 if self._last else None


def _number(path: Path) -> int | None:
    """Return the number in a file, None where it can't be read."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
