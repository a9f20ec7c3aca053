"""What the machine and the training's processes did while steps were measured, from samples taken outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..model.record import SystemSample
from .timeline import Timeline
from .values import Values


def analyse(
    timeline: Timeline, system: Sequence[SystemSample], environment: Mapping[str, Any], values: Values
) -> None:
    """Give the ``host.*`` measurements that come from samples, and those of GPUs."""
    values.give("host.usable_cores", _number(environment.get("cpu", {}).get("usable_cores")))
    start, end = timeline.measured
    samples = [s for s in system if start <= s.time_ns <= end]
    if len(samples) < 2:
        values.lack("host", "fewer than two samples of the machine fell into the measured steps")
        values.lack("device", "fewer than two samples of the machine fell into the measured steps")
        return
    _machine(samples, values)
    _rates(samples, values)
    _processes(timeline.trainer.process.pid, samples, values)
    _devices(samples, values)


def _number(value: Any) -> float | None:
    """Return ``value`` as a float, None where it is no number."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _machine(samples: Sequence[SystemSample], values: Values) -> None:
    """Give levels: cores busy, memory, steal."""
    count = len(samples)
    cores = values.number("host.usable_cores")
    busy = [s.machine["cores_busy"] for s in samples if "cores_busy" in s.machine]
    if busy and cores:
        values.give("host.cpu_frac", float(np.mean(busy)) / cores, len(busy))
    steal = [s.machine["steal_frac"] for s in samples if "steal_frac" in s.machine]
    values.give("host.steal_frac", float(np.mean(steal)) if steal else None, len(steal))
    free = [s.machine["mem_available_bytes"] for s in samples if "mem_available_bytes" in s.machine]
    values.give("host.memory_available_bytes", min(free) if free else None, count)
    used = [
        s.machine["mem_used_bytes"] / s.machine["mem_limit_bytes"]
        for s in samples
        if s.machine.get("mem_limit_bytes") and "mem_used_bytes" in s.machine
    ]
    values.give("host.memory_frac", max(used) if used else None, len(used))


_RATES = {
    "host.swap_in_bytes_per_s": "swap_in_bytes",
    "host.disk_read_bytes_per_s": "disk_read_bytes",
    "host.disk_write_bytes_per_s": "disk_write_bytes",
    "host.net_bytes_per_s": "net_bytes",
    "host.memory_stall_frac": "psi_memory_some_s",
    "host.io_stall_frac": "psi_io_some_s",
    "host.throttled_frac": "throttled_s",
    "host.power_w": "package_energy_j",
}


def _rates(samples: Sequence[SystemSample], values: Values) -> None:
    """Give rates of the counters that only grow."""
    first, last = samples[0], samples[-1]
    seconds = (last.time_ns - first.time_ns) / 1e9
    for identifier, name in _RATES.items():
        if name in first.machine and name in last.machine and seconds > 0:
            values.give(
                identifier, max(0.0, last.machine[name] - first.machine[name]) / seconds, len(samples)
            )
        else:
            values.lack(identifier, "this system has no such counter")


def _processes(pid: int, samples: Sequence[SystemSample], values: Values) -> None:
    """Give cores, memory and faults of the training process and of all processes of the run."""
    first, last = samples[0], samples[-1]
    seconds = (last.time_ns - first.time_ns) / 1e9
    own = [s.processes[pid] for s in samples if pid in s.processes]
    if len(own) < 2 or seconds <= 0:
        return
    values.give("host.trainer_cores", _growth(own[0], own[-1], "cpu_s") / seconds, len(own))
    values.give("host.trainer_rss_bytes", max((p.get("rss_bytes", 0.0) for p in own), default=None), len(own))
    step = values.number("step.mean_s")
    if step and "minor_faults" in own[0]:
        values.give(
            "host.faults_per_step", _growth(own[0], own[-1], "minor_faults") / seconds * step, len(own)
        )
    _computing(values)
    tree = _tree_cpu_s(samples) / seconds
    values.give("host.tree_cores", tree, len(samples))
    busy = [s.machine["cores_busy"] for s in samples if "cores_busy" in s.machine]
    if busy:
        values.give("host.foreign_cores", max(0.0, float(np.mean(busy)) - tree), len(busy))
    values.give("host.major_faults_per_s", _tree_growth(samples, "major_faults") / seconds, len(samples))
    resident = [sum(p.get("rss_bytes", 0.0) for p in s.processes.values()) for s in samples]
    workers = [
        total - s.processes.get(pid, {}).get("rss_bytes", 0.0)
        for total, s in zip(resident, samples, strict=True)
    ]
    values.give("host.workers_rss_bytes", max(workers), len(workers))
    third = max(1, len(resident) // 3)
    grown = float(np.mean(resident[-third:]) - np.mean(resident[:third]))
    values.give("host.rss_growth_bytes_per_s", grown / (seconds * 2 / 3), len(resident))


def _computing(values: Values) -> None:
    """Give the cores the training process keeps busy outside of waiting, and of making batches itself."""
    cores, step, busy = (values.number(n) for n in ("host.trainer_cores", "step.mean_s", "step.busy_s"))
    if cores is None or not step or not busy:
        return
    making = 0.0 if values.number("input.workers") else values.number("input.batch_cpu_s") or 0.0
    most = values.number("host.usable_cores") or cores
    values.give("compute.cores", min(most, max(0.0, cores * step - making) / busy))


def _growth(first: Mapping[str, float], last: Mapping[str, float], name: str) -> float:
    """Return by how much a counter grew, 0 where it is missing."""
    return max(0.0, last.get(name, 0.0) - first.get(name, 0.0))


def _tree_growth(samples: Sequence[SystemSample], name: str) -> float:
    """Return by how much a counter grew over all processes, those that came or went included."""
    first: dict[int, Mapping[str, float]] = dict(samples[0].processes)
    last: dict[int, Mapping[str, float]] = {}
    for sample in samples:
        last.update(sample.processes)
    return sum(_growth(first.get(pid, {}), readings, name) for pid, readings in last.items())


def _tree_cpu_s(samples: Sequence[SystemSample]) -> float:
    """Return the CPU seconds of all processes of the run, those included that began and ended between two samples.

    A process tells what its children had that have ended (``ended_cpu_s``, their children's with it); what they had
    before the first sample is taken off. Children nobody waited for are missing there, so never less than was seen.
    """
    first, alive = samples[0].processes, samples[-1].processes
    told = sum(_growth(first.get(pid, {}), r, "cpu_s") for pid, r in alive.items())
    told += sum(_growth(first.get(pid, {}), r, "ended_cpu_s") for pid, r in alive.items())
    told -= sum(r.get("cpu_s", 0.0) for pid, r in first.items() if pid not in alive)
    return max(told, _tree_growth(samples, "cpu_s"))


def _devices(samples: Sequence[SystemSample], values: Values) -> None:
    """Give utilisation, memory, power and throttling of the busiest GPU."""
    if not any(s.devices for s in samples):
        values.lack("device", "no GPU was read on this machine")
        return
    count = min(len(s.devices) for s in samples if s.devices)
    readings = [[s.devices[i] for s in samples if len(s.devices) > i] for i in range(count)]
    busiest = max(readings, key=lambda rows: sum(row.get("util_frac", 0.0) for row in rows))
    for identifier, name in (("device.utilisation_frac", "util_frac"), ("device.power_w", "power_w")):
        found = [row[name] for row in busiest if name in row]
        values.give(identifier, float(np.mean(found)) if found else None, len(found))
    memory = [
        r["mem_used_bytes"] / r["mem_total_bytes"]
        for r in busiest
        if r.get("mem_total_bytes") and "mem_used_bytes" in r
    ]
    values.give("device.memory_frac", max(memory) if memory else None, len(memory))
    held = [max(r.get("throttle_thermal", 0.0), r.get("throttle_power", 0.0)) for r in busiest]
    values.give("device.throttled_frac", float(np.mean(held)) if held else None, len(held))
