"""What was seen before a closer look and before anything was taken away: what alone is timed as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..model.record import ProcessRecord, RunRecord
from ..model.span import Kind


def began_ns(processes: Sequence[ProcessRecord]) -> int | None:
    """Return when the first rank began its deep window or experiments, monotonic ns; None in a run without any."""
    times = [begun for process in processes if (begun := _own_ns(process)) is not None]
    return min(times, default=None)


def _own_ns(process: ProcessRecord) -> int | None:
    """Return when a process began its deep window or its experiments, None where it did neither."""
    times = [event.time_ns for event in process.told("experiments")[:1]]
    times += [event.time_ns for event in process.told("deep") if event.data.get("state") == "begin"]
    return min(times, default=None)


def observed(processes: Sequence[ProcessRecord]) -> tuple[ProcessRecord, ...]:
    """Return the processes with the spans that ended before the experiments.

    A rank ends at its own beginning of them; loader workers and the like, which tell of none, at the first one's.
    """
    first = began_ns(processes)
    if first is None:
        return tuple(processes)
    return tuple(_until(process, first) for process in processes)


def observed_run(record: RunRecord) -> RunRecord:
    """Return ``record`` with its spans and samples up to the experiments; events are kept, they are facts."""
    first = began_ns(record.processes)
    if first is None:
        return record
    system = tuple(sample for sample in record.system if sample.time_ns <= first)
    return replace(record, processes=observed(record.processes), system=system)


def _until(process: ProcessRecord, first_ns: int) -> ProcessRecord:
    """Return ``process`` with the spans that ended before its own experiments, or before ``first_ns``."""
    own = _own_ns(process)
    end = own if own is not None else first_ns
    return replace(process, spans=process.spans.where(process.spans.end_ns <= end))


def ended_ns(process: ProcessRecord) -> int | None:
    """Return the end of the last step that a rank took in window and experiments; None where it made neither."""
    begun = _own_ns(process)
    if begun is None:
        return None
    spans = process.spans
    ends = spans.end_ns[(spans.kind == Kind.OPTIMIZER) | (spans.kind == Kind.MARK)]
    return max(int(ends.max()) if len(ends) else 0, begun)
