"""Numbers as people read them: 0.09 s is "90 ms", a fraction of 0.55 is "55 %"."""

from __future__ import annotations

import math

_TIME = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))


def _digits(value: float) -> str:
    """Return three significant digits at most, never in exponent form."""
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(places, 3)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(value: float) -> str:
    """Return a duration such as "90 ms", "1.2 s" or "3 min 20 s"; ``value`` in seconds."""
    if abs(value) >= 120:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
    for size, name in _TIME:
        if abs(value) >= size * 0.9995 or name == "ns":
            return f"{_digits(value / size)} {name}"
    raise AssertionError("unreachable")


def size(value: float) -> str:
    """Return a size such as "1.5 MiB"; ``value`` in bytes."""
    for unit, name in _BYTES:
        if abs(value) >= unit or name == "B":
            return f"{_digits(value / unit)} {name}"
    raise AssertionError("unreachable")


def fraction(value: float) -> str:
    """Return a share such as "55 %"; ``value`` in 0-1, one digit more below 1 %."""
    percent = value * 100
    if 0 < abs(percent) < 0.1:
        return "under 0.1 %"
    return f"{percent:.0f} %" if abs(percent) >= 1 or percent == 0 else f"{percent:.1f} %"


def count(value: float) -> str:
    """Return a plain number: whole where it is whole."""
    if float(value).is_integer():
        return f"{int(value):,}".replace(",", " ") if abs(value) >= 10000 else str(int(value))
    return _digits(value)


def show(value: float | None, unit: str) -> str:
    """Return ``value`` in words; ``unit`` is one of ``s bytes frac count bool bytes_per_s per_s``."""
    if value is None or math.isnan(value) or math.isinf(value):
        return "not measured"
    if unit == "bool":
        return "yes" if value else "no"
    if unit == "bytes_per_s":
        return f"{size(value)}/s"
    if unit == "per_s":
        return f"{count(value)}/s"
    return {"s": seconds, "bytes": size, "frac": fraction}.get(unit, count)(value)
