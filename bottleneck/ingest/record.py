"""Traces, one per rank -> a record that the same analyses read as one of our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TraceError
from ..model.device import DeviceWork
from ..model.record import Event, Outcome, ProcessRecord, RunRecord
from ..model.span import Kind, Spans
from ..version import __version__
from .blocks import Blocks
from .columns import Trace, read_columns
from .device import device_work
from .events import EventReader
from .loop import loader_names, read_loop
from .vocabulary import loader_workers, rank_in

SCHEMA = 1  # of records: that of ``store.run``
_LOST = 0.02  # of all launches: from there on the device's idle time may be work that was not written
Progress = Callable[[Path, int, int], None]


def looks_like_trace(path: Path) -> bool:
    """Return whether ``path`` is meant as a trace: a file, or named like one."""
    return path.is_file() or path.name.endswith((".json", ".json.gz", ".trace", ".gz"))


def load_traces(paths: Sequence[Path], progress: Progress | None = None) -> RunRecord:
    """Return the record of a training whose ranks were traced into ``paths``.

    ``progress`` gets a path, bytes of it read, and its size.

    Raises:
        TraceError: A file is missing, empty or no trace, or two are of the same rank.
    """
    processes = [_process(path, number, progress) for number, path in enumerate(paths)]
    ranks = _ranks(processes, paths)
    processes = [replace(process, rank=rank) for process, rank in zip(processes, ranks, strict=True)]
    processes.sort(key=lambda process: process.rank if process.rank is not None else 0)
    first, last = _window(processes[0])
    return RunRecord(
        schema=SCHEMA,
        run_id=_trace_name(paths[0]),
        tool_version=__version__,
        started="",
        command={"argv": [path.name for path in paths], "form": "trace", "script": None},
        environment=_environment(processes),
        outcome=Outcome(exit_code=None, signal=None, stopped_by_us=False, start_ns=first, end_ns=last),
        processes=tuple(processes),
        source="trace",
    )


def _trace_name(path: Path) -> str:
    """Return a trace's name without what tells its format."""
    name = path.name
    for ending in (".gz", ".json", ".trace", ".pt"):
        name = name.removesuffix(ending)
    return name or path.name


def _process(path: Path, number: int, progress: Progress | None) -> ProcessRecord:
    """Return one rank's record."""
    trace = _read(path, progress)
    spans, work = read_loop(trace), device_work(trace)
    spans = replace(spans, start_ns=spans.start_ns + trace.zero_ns, end_ns=spans.end_ns + trace.zero_ns)
    about = trace.about.get("distributedInfo")
    distributed: Mapping[str, Any] = about if isinstance(about, dict) else {}
    damage = [*trace.damage, *_incomplete(work)]
    return ProcessRecord(
        key=f"{number}-{path.name}",
        pid=number,
        ppid=0,
        rank=_whole(distributed.get("rank"), rank_in(path.name)),
        header=_header(path, trace, work, distributed),
        spans=spans,
        events=_events(spans),
        damage="; ".join(damage) or None,
        device=work,
    )


def _read(path: Path, progress: Progress | None) -> Trace:
    """Return the columns of one file, or an error that names it."""

    def report(done: int, size: int) -> None:
        if progress is not None:
            progress(path, done, size)

    blocks = Blocks(path, report)
    try:
        trace = read_columns(EventReader(blocks))
    except OSError as error:
        raise TraceError(f"{path}: can't be read ({error.strerror})") from error
    except TraceError as error:
        raise TraceError(f"{path}: {blocks.damage or error}") from error
    if blocks.damage:
        trace = replace(trace, damage=(blocks.damage, *trace.damage))
    if not (len(trace.host) or len(trace.annotations) or len(trace.device)):
        why = trace.damage[0] if trace.damage else "no operator and no kernel is in it"
        raise TraceError(f"{path}: no events to judge ({why})")
    return trace


def _incomplete(work: DeviceWork) -> list[str]:
    """Return what is wrong where many launches have no work."""
    known = int(np.count_nonzero(np.diff(np.sort(work.launch_ns[work.launch_ns >= 0]), prepend=-1)))
    lost = len(work.lost_ns)
    if lost <= _LOST * (lost + known):
        return []
    return [f"of {lost + known} launches {lost} have no work of the device in it"]


def _header(path: Path, trace: Trace, work: DeviceWork, distributed: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts about the process."""
    properties = trace.about.get("deviceProperties")
    devices = [one for one in properties if isinstance(one, dict)] if isinstance(properties, list) else None
    header: dict[str, Any] = {
        "host": str(trace.about.get("host_name") or ""),
        "trace": path.name,
        "events": trace.events,
        "devices": [str(one.get("name", "")) for one in devices or ()],
        "compiled": any(_is_compiled(name) for name in trace.names),
    }
    if len(work):
        header["cuda_device"] = True
    elif devices == []:  # a list without entries: the profiler looked and found no device
        header["cuda_device"] = False
    world = _whole(distributed.get("world_size"), None)
    if world is not None:
        header["ranks"] = {"WORLD_SIZE": str(world)}
    return header


def _is_compiled(name: str) -> bool:
    """Return whether an operator of this name runs what torch.compile made."""
    return name.startswith(("CompiledFunction", "Torch-Compiled Region", "## Call CompiledFxGraph"))


def _events(spans: Spans) -> tuple[Event, ...]:
    """Return what names tell of loaders and optimizers."""
    found = []
    for number, name in loader_names(spans).items():
        data: dict[str, Any] = {"number": number}
        workers = loader_workers(name)
        if workers is not None:
            data["workers"] = workers
        found.append(Event(kind="loader", time_ns=0, data=data))
    for index in sorted({*spans.name[spans.kind == Kind.OPTIMIZER].tolist()}):
        name = spans.names[index]
        if name.startswith("Optimizer.step#"):
            data = {"name": name.removeprefix("Optimizer.step#").removesuffix(".step")}
            found.append(Event(kind="optimizer", time_ns=0, data=data))
    return tuple(found)


def _ranks(processes: Sequence[ProcessRecord], paths: Sequence[Path]) -> list[int | None]:
    """Return the rank of each trace; where several tell none, their order counts.

    Raises:
        TraceError: Two traces are of one rank.
    """
    told = [process.rank for process in processes]
    if len(told) > 1 and all(rank is None for rank in told):
        return list(range(len(told)))
    seen: dict[int, Path] = {}
    for rank, path in zip(told, paths, strict=True):
        if rank is None and len(told) > 1:
            raise TraceError(f"{path}: tells no rank, the other traces do; put it into the name (rank3)")
        if rank is not None and rank in seen:
            raise TraceError(f"{path}: of rank {rank}, as {seen[rank].name} is; name one trace per rank")
        if rank is not None:
            seen[rank] = path
    return told


def _whole(value: Any, default: int | None) -> int | None:
    """Return ``value`` where it is a whole number that a rank can be, else ``default``."""
    usable = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 24
    return value if usable else default


def _window(process: ProcessRecord) -> tuple[int, int]:
    """Return start and end of what a trace shows."""
    work, spans = process.device, process.spans
    starts = [*spans.start_ns[:0], *([int(spans.start_ns.min())] if len(spans) else [])]
    ends = [int(spans.end_ns.max())] if len(spans) else []
    if work is not None and len(work):
        starts.append(int(work.start_ns.min()))
        ends.append(int(work.end_ns.max()))
    return min(starts, default=0), max(ends, default=0)


def _environment(processes: Sequence[ProcessRecord]) -> dict[str, Any]:
    """Return the machine as far as the traces tell it."""
    devices = [str(name) for process in processes for name in process.header["devices"] if name]
    empty: dict[str, Any] = {key: {} for key in ("cpu", "memory", "python", "os", "disk", "variables")}
    return {**empty, "library_paths": [], "accelerators": list(dict.fromkeys(devices))}
