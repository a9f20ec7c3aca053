"""A record's measurements, all of them: what rules read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..model.ceiling import Ceiling
from ..model.measurement import Measurements
from ..model.record import ProcessRecord, RunRecord
from . import (
    account,
    ceilings,
    compiling,
    device_marks,
    host,
    hot_code,
    input_pipeline,
    model_facts,
    replayed,
    roofline,
    stalls,
    step_time,
    window,
)
from .observed import ended_ns, observed_run
from .ranks.condense import Condenser
from .ranks.roster import call
from .ranks.survey import Survey, compare
from .ranks.survey import analyse as compare_ranks
from .timeline import Timeline, build, stopped
from .trainer import Trainer, batch_makers, find_trainers
from .values import Values
from .workload import build_workload

_ENOUGH = 10  # timed steps: fewer give no interval worth printing


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """What the analyses made of a record.

    Attributes:
        result: "OK", or the named reason why there are no step statistics.
        timelines: One per rank kept whole; the first is the one the measurements describe.
        makers: Loader workers of the first.
        measurements: What rules read.
        library_paths: Where libraries lie in the target's interpreter, to tell the user's code from them.
        survey: All ranks compared, None where one process trains alone.
        ceilings: What became of each experiment.
        experiments_end_ns: End of the last step that the first rank took in them; None where there were none.
    """

    result: str
    timelines: tuple[Timeline, ...]
    makers: tuple[ProcessRecord, ...]
    measurements: Measurements
    library_paths: tuple[str, ...]
    survey: Survey | None = None
    ceilings: tuple[Ceiling, ...] = ()
    experiments_end_ns: int | None = None


def analyse(record: RunRecord) -> Analysed:
    """Return the measurements of ``record``, of the rank that the others wait for, else of the first."""
    values = Values()
    whole, record = record, observed_run(record)
    trainers = find_trainers(record.processes)
    survey = _survey(record, trainers)
    trainers = _in_order(trainers, survey)
    library_paths = tuple(str(path) for path in record.environment.get("library_paths", ()))
    built = (build(t, record.stacks, stops=stopped(record.system, t.process.pid)) for t in trainers)
    timelines = tuple(timeline for timeline in built if timeline is not None)
    makers: tuple[ProcessRecord, ...] = ()
    rows: tuple[Ceiling, ...] = ()
    if timelines:
        makers = batch_makers(timelines[0].trainer, record.processes)
        _run_all(record, timelines[0], makers, library_paths, values)
        roofline.analyse(whole, timelines[0], values)
        window.analyse(whole.deep.get(timelines[0].trainer.process.pid, {}).get("device"), values)
        device_marks.analyse(timelines[0], values)
        replayed.analyse(whole, timelines[0], values)
        if survey is not None:
            compare_ranks(survey, values)
        values.workload = build_workload(timelines, record.processes, values)
        rows = ceilings.analyse(whole, timelines[0], values)
        ceilings.give_input_cost(values)
    for failure in record.failures:
        values.lack(_AREA.get(failure.collector, failure.collector), failure.reason)
    return Analysed(
        result=_result(record.processes, timelines),
        timelines=timelines,
        makers=makers,
        measurements=values.build(),
        library_paths=library_paths,
        survey=survey,
        ceilings=rows,
        experiments_end_ns=_experiments_end(whole, timelines),
    )


def _experiments_end(record: RunRecord, timelines: Sequence[Timeline]) -> int | None:
    """Return when the rank that the measurements describe took its last step of the experiments."""
    key = timelines[0].trainer.process.key if timelines else ""
    return next((ended_ns(process) for process in record.processes if process.key == key), None)


def _survey(record: RunRecord, trainers: Sequence[Trainer]) -> Survey | None:
    """Return the comparison of the ranks; None where one process trains alone."""
    digests = record.ranks
    if not digests and (len(trainers) > 1 or any(_is_rank(trainer.process) for trainer in trainers)):
        condenser = Condenser()
        digests = tuple(d for d in (condenser.digest(t.process) for t in trainers) if d is not None)
    if not digests:
        return None
    present = (process.rank for process in record.processes if process.rank is not None)
    return compare(call(digests, present))


def _is_rank(process: ProcessRecord) -> bool:
    """Return whether a process said that it is one of several ranks."""
    return process.rank is not None or bool(process.told("group"))


def _in_order(trainers: Sequence[Trainer], survey: Survey | None) -> tuple[Trainer, ...]:
    """Return the trainers of the attempt the survey rests on, the rank that the report describes first."""
    if survey is None or not survey.roster.digests:
        return tuple(trainers)
    known = {digest.key for digest in survey.roster.digests}
    ours = [trainer for trainer in trainers if trainer.process.key in known] or list(trainers)
    return tuple(sorted(ours, key=lambda trainer: trainer.process.key != survey.described))


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
    compiling.analyse(timeline, library_paths, values)
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
