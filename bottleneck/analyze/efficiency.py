"""Metrics of efficiency per step, per sample and per epoch, each with what it is blind to.

Source:
    Bartoldson, Kailkhura, Blalock, Compute-Efficient Deep Learning, 2023, section 2.2.
"""

from __future__ import annotations

from typing import Any

from .. import units
from ..model.measurement import Measurements

# World mean of electricity in 2023, g of CO2 equivalent per kWh (Ember, Global Electricity Review 2024).
CARBON_G_PER_KWH = 480.0
_J_PER_KWH = 3.6e6
_BLIND = {
    "training_time": "depends on this machine; says nothing of why",
    "throughput": "hides how much is learned from a sample",
    "parameters": "says little about time: shared, sparse and embedding parameters cost differently",
    "flops": "ignores memory traffic and everything that is no arithmetic; products and attention only",
    "operand_bytes": "orders memory-bound variants, misses caches: an interval from distinct memory to all operands",
    "utilisation": "a rate of arithmetic: a model with less of it and the same result looks worse",
    "electricity": "needs a meter: NVML or RAPL; without the rest of the machine and its cooling",
    "carbon": "follows from electricity and the grid's intensity",
    "cost": "an hour of a machine has the same price whatever it does",
}


def panel(
    measurements: Measurements, price_per_hour: float | None = None, carbon: float = CARBON_G_PER_KWH
) -> dict[str, Any]:
    """Return the metrics by name: ``value``, ``unit``, ``note`` (per sample and per epoch), ``blind_to``.

    Args:
        measurements: Of the run.
        price_per_hour: Price of an hour of the machine, in any currency; None: no cost.
        carbon: Intensity of the electricity in g per kWh.
    """
    step = measurements.number("step.mean_s")
    joules = _joules(measurements, step)
    grams = joules / _J_PER_KWH * carbon if joules is not None else None
    samples = _samples(measurements)
    rows: list[tuple[str, float | None, str, str]] = [
        ("training_time", step, "s per step", _per(measurements, step, "s")),
        ("throughput", samples / step if samples and step else None, "samples per s", ""),
        ("parameters", measurements.number("model.parameters"), "", ""),
        _counted(measurements, "flops", "device.flops_per_step", "per step", "count"),
        ("utilisation", measurements.number("device.mfu_frac"), "of the probed rate", ""),
        _counted(measurements, "operand_bytes", "device.bytes_per_step", "bytes per step", "bytes"),
        ("electricity", joules, "J per step", _per(measurements, joules, "J") or _no_meter(joules)),
        (
            "carbon",
            grams,
            "g per step",
            f"at {carbon:g} g per kWh" if grams is not None else _no_meter(grams),
        ),
    ]
    if price_per_hour is not None and price_per_hour > 0:
        cost = step / 3600 * price_per_hour if step else None
        note = f"at {price_per_hour:g} per hour"
        rows.append(("cost", cost, "per step", "; ".join(filter(None, (note, _per(measurements, cost, ""))))))
    return {
        name: {"value": value, "unit": unit, "blind_to": _BLIND[name], **({"note": note} if note else {})}
        for name, value, unit, note in rows
    }


def _samples(measurements: Measurements) -> float | None:
    """Return the samples of a step on this rank."""
    batch = measurements.number("input.batch_size")
    return batch * (measurements.number("step.micro_batches") or 1.0) if batch else None


def _joules(measurements: Measurements, step: float | None) -> float | None:
    """Return the energy of a step, of GPU and processor as far as they were metered."""
    found = [measurements.number(name) for name in ("device.power_w", "host.power_w")]
    metered = [watts for watts in found if watts is not None]
    return sum(metered) * step if metered and step else None


def _no_meter(value: float | None) -> str:
    """Return why there is no value, "" where there is one."""
    return "" if value is not None else "not measured: no meter (NVML, RAPL) could be read"


def _counted(
    measurements: Measurements, name: str, identifier: str, unit: str, kind: str
) -> tuple[str, float | None, str, str]:
    """Return the row of something the deep window counted."""
    found = measurements.get(identifier)
    if found is None:
        return name, None, unit, f"not measured: {measurements.why_missing(identifier)}"
    notes = [_per(measurements, found.value, "B" if kind == "bytes" else "")]
    if found.interval is not None:
        notes.append(f"between {units.size(found.interval[0])} and {units.size(found.interval[1])}")
    return name, found.value, unit, "; ".join(filter(None, notes))


def _per(measurements: Measurements, value: float | None, unit: str) -> str:
    """Return a value of a step as per sample and per epoch, as far as those are known."""
    if value is None:
        return ""
    parts = []
    samples, steps = _samples(measurements), measurements.number("input.steps_per_epoch")
    if samples:
        parts.append(f"{value / samples:.3g} {unit}".strip() + " per sample")
    if steps:
        parts.append(f"{value * steps:.3g} {unit}".strip() + " per epoch")
    return ", ".join(parts)
