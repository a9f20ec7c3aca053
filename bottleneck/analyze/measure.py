"""A record's measurements, all of them: what rules read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model.measurement import Measurements
from ..model.record import ProcessRecord, RunRecord
from . import account, host, hot_code, input_pipeline, model_facts, stalls, step_time
from .timeline import Timeline, build
from .trainer import batch_makers, find_trainers
from .values import Values

_ENOUGH = 10  # timed steps: fewer give no interval worth printing


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """What the analyses made of a record.

    Attributes:
        result: "OK", or the named reason why there are no step statistics.
        timelines: One per rank that trained, by rank; the first is the one the measurements describe.
        makers: Loader workers of the first.
        measurements: What rules read.
        library_paths: Where libraries lie in the target's interpreter, to tell the user's code from them.
    """

    result: str
    timelines: tuple[Timeline, ...]
    makers: tuple[ProcessRecord, ...]
    measurements: Measurements
    library_paths: tuple[str, ...]


def analyse(record: RunRecord) -> Analysed:
    """Return the measurements of ``record``, of the first rank that trained where there are several."""
    values = Values()
    trainers = find_trainers(record.processes)
    library_paths = tuple(str(path) for path in record.environment.get("library_paths", ()))
    timelines = tuple(t for t in (build(trainer, record.stacks) for trainer in trainers) if t is not None)
    makers: tuple[ProcessRecord, ...] = ()
    if timelines:
        makers = batch_makers(timelines[0].trainer, record.processes)
        _run_all(record, timelines[0], makers, library_paths, values)
    for failure in record.failures:
        values.lack(_AREA.get(failure.collector, failure.collector), failure.reason)
    return Analysed(
        result=_result(record.processes, timelines),
        timelines=timelines,
        makers=makers,
        measurements=values.build(),
        library_paths=library_paths,
    )


_AREA = {
    "optimizer": "optimizer",
    "loader": "input",
    "fetcher": "input",
    "system": "host",
    "devices": "device",
}


def _run_all(
    record: RunRecord,
    timeline: Timeline,
    makers: Sequence[ProcessRecord],
    library_paths: Sequence[str],
    values: Values,
) -> None:
    """Run every analysis on one trainer; later ones read what earlier ones gave."""
    step_time.analyse(timeline, values)
    account.analyse(timeline, record.outcome, values)
    input_pipeline.analyse(timeline, makers, values)
    stalls.analyse(timeline, values)
    model_facts.analyse(timeline, values)
    host.analyse(timeline, record.system, record.environment, values)
    hot_code.analyse(timeline, makers, record.stacks, library_paths, values)


def _result(processes: Sequence[ProcessRecord], timelines: Sequence[Timeline]) -> str:
    """Return "OK" or the named reason why nothing can be said about steps."""
    if not processes:
        return "NO_TORCH"
    if not timelines:
        return "NO_STEPS"
    return "OK" if int(timelines[0].steady.timed.sum()) >= _ENOUGH else "TOO_FEW_STEPS"
