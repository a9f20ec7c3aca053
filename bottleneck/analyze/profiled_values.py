"""What a profiler's trace tells of a training, and that it tells no more: nothing unseen counts as zero."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.measurement import Measurements
from ..model.record import ProcessRecord, RunRecord
from ..model.span import Kind
from . import step_time
from .catalogue import CATALOGUE
from .device_catalogue import REPLAYED
from .device_values import in_timed, of_device
from .measure import Analysed
from .phases import COLUMN
from .profiled import ENOUGH, build_profiled
from .timeline import Timeline
from .trainer import find_trainers
from .values import Values

_UNSEEN = "not in a profiler trace"
_NO_DEVICE = "the trace holds no device work: the CPU trained, or the device's activity was not profiled"
_ON_DEVICE = ("h2d", "sync", "communication")
_NEVER = ("checkpoint", "evaluation", "logging", "gc")


def analyse_trace(record: RunRecord) -> Analysed:
    """Return the measurements of profiled ranks; of several the one that spends least in communication.

    In a synchronous training the others wait there for that one.
    """
    values = Values()
    built = [
        build_profiled(trainer, trainer.process.device)
        for trainer in find_trainers(record.processes)
        if trainer.process.device is not None
    ]
    timelines = sorted((t for t in built if t is not None), key=_exchanging)
    if timelines:
        _run_all(timelines[0], values)
    for failure in record.failures:
        values.lack(failure.collector, failure.reason)
    for identifier in CATALOGUE:
        values.lack(identifier, _UNSEEN)
    return Analysed(
        result=_result(timelines),
        timelines=tuple(timelines),
        makers=(),
        measurements=_only_seen(values.build(), timelines),
        library_paths=(),
    )


def _exchanging(timeline: Timeline) -> float:
    """Return the share of a rank's time in communication that nothing hides."""
    whole = float(timeline.totals.sum())
    return float(timeline.totals[:, COLUMN["communication"]].sum()) / whole if whole else 0.0


def _result(timelines: Sequence[Timeline]) -> str:
    """Return "OK" or the named reason why nothing can be said about steps."""
    if not timelines:
        return "NO_TRAINING"
    return "OK" if int(timelines[0].steady.timed.sum()) >= ENOUGH else "SHORT_TRACE"


def _run_all(timeline: Timeline, values: Values) -> None:
    """Give everything that one rank's trace tells."""
    values.give("device.placed", 0.0)  # operators were not counted
    values.give("device.traced", float(timeline.device is not None))
    for change in REPLAYED:
        values.give(f"replay.{change}_covered_frac", 0.0)  # nor called again
    step_time.analyse(timeline, values)
    _input(timeline, values)
    _facts(timeline.trainer.process, values)
    if timeline.device is None:
        if _seen("communication", timeline):  # Gloo beside a model on the CPU, which is then the device
            values.give(
                "device.comm_exposed_frac", values.number("step.communication_frac"), len(timeline.totals)
            )
        for identifier in CATALOGUE:
            if identifier.startswith("device."):
                values.lack(identifier, _NO_DEVICE)
        return
    work = timeline.trainer.process.device
    assert work is not None
    of_device(timeline, work, values)


def _only_seen(found: Measurements, timelines: Sequence[Timeline]) -> Measurements:
    """Return the measurements without phases that such a trace can't show."""
    if not timelines:
        return found
    hidden = [*_NEVER]
    spans = timelines[0].trainer.spans
    if timelines[0].device is None:
        hidden += [phase for phase in _ON_DEVICE if not _seen(phase, timelines[0])]
    if not (spans.kind == Kind.NEXT).any():
        hidden.append("data_wait")
    gone = {f"step.{phase}_{unit}" for phase in hidden for unit in ("s", "frac")}
    gone |= {"input.wait_frac", "input.cost_frac"} if "data_wait" in hidden else set()
    kept = {name: value for name, value in found.values_by_id.items() if name not in gone}
    return Measurements(values_by_id=kept, labels=found.labels, missing=found.missing)


def _seen(phase: str, timeline: Timeline) -> bool:
    """Return whether any time of the steps fell into ``phase``."""
    return bool(timeline.totals[:, COLUMN[phase]].any())


def _input(timeline: Timeline, values: Values) -> None:
    """Give ``input.*``: the wait that nothing hides, and what making a batch takes where the loop makes it."""
    spans = timeline.trainer.spans
    fetches = spans.where(spans.kind == Kind.NEXT)
    if not len(fetches):
        values.lack(
            "input", "no DataLoader's mark is in the trace: waiting for data, if any, counts as other"
        )
        return
    loaders = timeline.evaluation.loaders
    values.give("input.loaders", len(loaders))
    for name in ("input.wait_frac", "input.cost_frac"):  # nothing was taken away: the wait is what is known
        values.give(name, values.number("step.data_wait_frac"), len(fetches))
    told = [
        event.data for event in timeline.trainer.process.told("loader") if event.data["number"] in loaders
    ]
    alone = bool(told) and all(data.get("workers") == 0 for data in told)
    values.label("input.maker", "the training process itself" if alone else "worker processes")
    if alone:
        values.give("input.workers", 0)
        timed = fetches.where(in_timed(timeline, fetches.start_ns))
        seconds = (timed.end_ns - timed.start_ns) / 1e9
        values.give("input.batch_s", float(seconds.mean()) if len(seconds) else None, len(seconds))
    else:
        values.lack("input.workers", "a trace tells that there are workers, not how many")


def _facts(process: ProcessRecord, values: Values) -> None:
    """Give what stands beside the events: device, ranks, compiler, optimizer."""
    header = process.header
    if isinstance(header.get("cuda_device"), bool):
        values.give("device.is_cuda", float(header["cuda_device"]))
        values.give("device.is_cpu", float(not header["cuda_device"]))
    ranks = header.get("ranks") or {}
    if str(ranks.get("WORLD_SIZE", "")).isdigit():
        values.give("ddp.world", float(ranks["WORLD_SIZE"]))
        if float(ranks["WORLD_SIZE"]) > 1:
            values.give("comm.sized_frac", 1.0)  # the link was not measured
    if header.get("compiled"):
        values.give("compile.used", 1.0)
    names = dict.fromkeys(str(event.data["name"]) for event in process.told("optimizer"))
    values.label("optimizer.name", ", ".join(names))
