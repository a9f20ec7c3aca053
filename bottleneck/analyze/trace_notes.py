"""What a reader must know of the traces behind a report: which they are, and what they can't show."""

from __future__ import annotations

from typing import Any

from .. import units
from ..model.measurement import Measurements
from ..model.record import ProcessRecord, RunRecord
from .device_time import temporal

# Of the step; a tenth is where a cause becomes the bottleneck (``advise/verdict.py``).
_MUCH = 0.1
# Measured on torch 2.13: steps of a convolution net and a transformer took 1.2 to 2 times as long under the profiler.
_SLOWED = "it makes the host 1.2 to 2 times slower, so what the host costs is overstated."
_LISTED = 3  # names of traces in a sentence


def sentences(
    record: RunRecord, measurements: Measurements, described: ProcessRecord | None
) -> tuple[str, ...]:
    """Return what limits an answer that rests on traces, one sentence each; of a run of our own, what its window does.

    Args:
        record: Of the traces.
        measurements: What was made of them.
        described: The rank whose times the report tells, None where no steps were found.
    """
    if record.source != "trace":
        return _of_window(measurements)
    found = [f"Read from the profiler's {_named(record)}: {_SLOWED}"]
    if described is not None and len(record.processes) > 1:
        found.append(
            f"All times are those of rank {described.rank}, which spends least in communication: the others wait "
            "for it there."
        )
    world, seen = measurements.number("ddp.world"), len(record.processes)
    if world is not None and world > seen:
        found.append(
            f"The answer rests on {seen} of {units.count(world)} ranks; no trace of the others was given."
        )
    queued = measurements.number("device.idle_queue_frac")
    if queued is not None and queued >= _MUCH:
        found.append(
            f"The device idled {units.fraction(queued)} of the time although work was queued: it waited for what the "
            "trace does not show (another rank, an event, work that was not recorded)."
        )
    found += [f"{p.header.get('trace', p.key)}: {p.damage}." for p in record.processes if p.damage]
    return tuple(found)


def _of_window(measurements: Measurements) -> tuple[str, ...]:
    """Return what limits what is said of the GPU in a run of our own."""
    busy = measurements.get("device.busy_frac")
    if busy is None:
        return ()
    return (
        f"What the GPU did is known from {busy.samples} steps under the profiler. It makes the host slower: what those "
        "steps were longer by is taken off the time the GPU waited for the host.",
    )


def _named(record: RunRecord) -> str:
    """Return the traces by name, of many the first."""
    names = [str(process.header.get("trace", process.key)) for process in record.processes]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{'traces' if len(names) > 1 else 'trace'} {', '.join(names[:_LISTED])}{more}"


def rows(record: RunRecord) -> list[dict[str, Any]]:
    """Return a row per trace: file, rank, events, and what the device did over all of it, warm-up included."""
    return [_row(process) for process in record.processes] if record.source == "trace" else []


def _row(process: ProcessRecord) -> dict[str, Any]:
    """Return one trace's row."""
    row: dict[str, Any] = {
        "file": process.header.get("trace"),
        "rank": process.rank,
        "events": process.header.get("events"),
        "damage": process.damage,
    }
    if process.device is None or not len(process.device):
        return row
    found = temporal(process.device)
    span = max(1, found["span"])
    row |= {
        "device_span_s": found["span"] / 1e9,
        "device_idle_frac": found["idle"] / span,
        "device_compute_frac": found["compute"] / span,
        "device_other_frac": found["other"] / span,
    }
    if found["communication"]:
        row["comm_overlap_frac"] = found["overlap"] / found["communication"]
    return row
