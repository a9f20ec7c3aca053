"""A record and a rulebook -> the report. Pure: the same record and rules give the same report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from .advise.engine import advise
from .advise.plan import plan
from .advise.proved import with_trials
from .advise.verdict import conclude
from .analyze import account, efficiency, hot_code, input_pipeline, modules, roofline, trace_notes
from .analyze.catalogue import CATALOGUE
from .analyze.counted import read_counted
from .analyze.measure import Analysed, analyse
from .analyze.profiled_values import analyse_trace
from .analyze.ranks import table
from .analyze.timeline import Timeline
from .diagnose.engine import judge
from .model.finding import Finding
from .model.measurement import Measurements
from .model.record import RunRecord
from .model.report import PHASES, PhaseShare, Report, StepSummary, Unmeasured, Verdict
from .model.span import Kind
from .predict.foreseen import with_predictions
from .rulebook import Rulebook


def diagnose(record: RunRecord, book: Rulebook, price_per_hour: float | None = None) -> Report:
    """Return the report on ``record`` under the rules of ``book``; an hour of the machine costs ``price_per_hour``."""
    analysed = analyse_trace(record) if record.source == "trace" else analyse(record)
    measurements = with_predictions(analysed.measurements)
    findings = judge(measurements, book.bottlenecks.values()) if analysed.timelines else ()
    offered, rejected = advise(findings, measurements, book.mitigations.values())
    advice = with_trials(offered, record.trials)
    verdict = conclude(findings, measurements, advice, _result(analysed, record))
    first = analysed.timelines[0] if analysed.timelines else None
    return Report(
        verdict=_with_ranks(verdict, record, analysed),
        step=_step(first, record, analysed) if first else None,
        findings=findings,
        mitigations=advice if verdict.state != "insufficient" else (),
        plan=plan(findings, measurements, book.mitigations.values())
        if verdict.state != "insufficient"
        else None,
        rejected=rejected,
        not_evaluated=_not_evaluated(findings, measurements, record),
        ceilings=tuple(asdict(row) for row in analysed.ceilings),
        efficiency=efficiency.panel(measurements, price_per_hour),
        ranks=_ranks(analysed),
        environment=_environment(record, first),
        overhead=_overhead(record, first),
        run={**_run(record, analysed, first), **_price(price_per_hour)},
        measurements=_plain(measurements),
        trials=record.trials,
        pictures=_pictures(first, record, analysed) if first else {},
    )


def _price(per_hour: float | None) -> dict[str, float]:
    """Return the price as the run's fact, where one was given."""
    return {} if per_hour is None else {"price_per_hour": per_hour}


def _result(analysed: Analysed, record: RunRecord) -> str:
    """Return the named result; a script that failed before enough was seen is told apart from one that just ended."""
    failed = record.outcome.exit_code not in (0, None) and not record.outcome.stopped_by_us
    return "FAILED" if analysed.result != "OK" and failed else analysed.result


def _with_ranks(verdict: Verdict, record: RunRecord, analysed: Analysed) -> Verdict:
    """Return the verdict with what the run's end and the other ranks mean for it."""
    survey = analysed.survey
    found = survey.roster.sentences() if survey is not None else ()
    first = analysed.timelines[0].trainer.process if analysed.timelines else None
    notes = trace_notes.sentences(record, analysed.measurements, first)
    who = analysed.measurements.labels.get("straggler.who", "")
    if survey is None or survey.described is None or verdict.state == "insufficient":
        return replace(verdict, reasons=(*notes, *_cut_short(record), *verdict.reasons, *found))
    described = f"All times are those of {who}, the latest: the other ranks wait for it."
    headline = verdict.headline
    if verdict.family != "communication":
        headline = f"The ranks wait for {who}. There: {headline[:1].lower()}{headline[1:]}"
    reasons = (*_cut_short(record), *verdict.reasons, described, *found)
    return replace(verdict, headline=headline, reasons=reasons)


def _cut_short(record: RunRecord) -> tuple[str, ...]:
    """Return why the record may be partial, in one sentence each."""
    if record.source == "trace":
        return ()  # the trace's own damage is told by `trace_notes`
    outcome = record.outcome
    found = []
    if outcome.signal and not outcome.stopped_by_us:
        found.append(f"The run was cut short: the script was ended by {outcome.signal}.")
    elif outcome.exit_code is None:
        found.append("The run was cut short: the command that measured it was killed.")
    elif outcome.exit_code and not outcome.stopped_by_us:
        found.append(f"The run was cut short: the script ended with exit code {outcome.exit_code}.")
    found += [f"Process {p.pid}: {p.damage}." for p in record.processes if p.damage]
    return tuple(found)


def _any_damage(record: RunRecord) -> bool:
    """Return whether some process could only be read in part."""
    return any(process.damage for process in record.processes)


def _step(timeline: Timeline, record: RunRecord, analysed: Analysed) -> StepSummary:
    """Return where a step's time goes."""
    seconds = timeline.step_ns[timeline.steady.timed] / 1e9
    mean = timeline.mean_phases()
    whole = max(float(mean.sum()), 1e-12)
    made_of = hot_code.made_of(timeline, record.stacks, analysed.library_paths)
    phases = []
    for number, phase in enumerate(PHASES):
        if record.source == "trace" and f"step.{phase}_frac" not in analysed.measurements:
            continue  # what a trace can't show is no zero
        share = float(mean[number]) / whole
        parts = tuple((text, part * share) for text, part in made_of.get(phase, ()))
        phases.append(PhaseShare(phase=phase, seconds=float(mean[number]), share=share, made_of=parts))
    return StepSummary(
        count=len(seconds),
        seen=len(timeline.totals),
        excluded=dict(timeline.steady.excluded),
        seconds=_spread(seconds, whole),
        phases=tuple(phases),
        definition=timeline.boundaries.definition,
    )


def _spread(seconds: np.ndarray[Any, np.dtype[np.float64]], mean: float) -> dict[str, float]:
    """Return the distribution of step time; ``mean`` has stalls spread over the steps between them."""
    if not len(seconds):
        return {}
    return {
        "median": float(np.median(seconds)),
        "mean": mean,
        "p05": float(np.percentile(seconds, 5)),
        "p95": float(np.percentile(seconds, 95)),
        "min": float(seconds.min()),
        "max": float(seconds.max()),
    }


def _unknown(findings: list[Finding], measurements: Measurements) -> list[Unmeasured]:
    """Return one row for each reason; rules that lack several measurements for several reasons tell them all."""
    alike: dict[str, list[str]] = {}
    for finding in findings:
        reasons = {name: measurements.why_missing(name) for name in finding.missing}
        if len(set(reasons.values())) == 1:
            why = next(iter(reasons.values()))
        else:
            why = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:3])
        alike.setdefault(why, []).append(finding.rule)
    return [
        Unmeasured(what=f"rule{'s' * (len(rules) > 1)} {', '.join(rules)}", reason=why)
        for why, rules in alike.items()
    ]


def _not_evaluated(
    findings: tuple[Finding, ...], measurements: Measurements, record: RunRecord
) -> tuple[Unmeasured, ...]:
    """Return rules that lacked an input, then collectors that failed, each with the reason."""
    rows = _unknown([finding for finding in findings if finding.state == "unknown"], measurements)
    for finding in findings:
        if finding.state == "error":
            rows.append(Unmeasured(what=f"rule {finding.rule}", reason=finding.error or "failed"))
    # why a ceiling was not measured stands beside the ones that were
    failures = [one for one in record.failures if not one.collector.startswith("ceiling.")]
    rows += [Unmeasured(what=failure.collector, reason=failure.reason) for failure in failures]
    return tuple(dict.fromkeys(rows))


def _ranks(analysed: Analysed) -> tuple[Mapping[str, Any], ...]:
    """Return a line per rank; of many ranks the latest, those that died, and one in the middle."""
    if analysed.survey is not None:
        return table.rows(analysed.survey)
    return tuple(_rank(timeline) for timeline in analysed.timelines)


def _rank(timeline: Timeline) -> dict[str, Any]:
    """Return one rank's line."""
    process = timeline.trainer.process
    timed = timeline.step_ns[timeline.steady.timed]
    return {
        "rank": process.rank if process.rank is not None else 0,
        "host": process.header.get("host", ""),
        "pid": process.pid,
        "steps": len(timeline.totals),
        "step_s": float(np.median(timed)) / 1e9 if len(timed) else None,
    }


def _environment(record: RunRecord, timeline: Timeline | None) -> dict[str, Any]:
    """Return machine and versions as flat facts."""
    about: Mapping[str, Any] = record.environment
    cpu, memory, python = (about.get(key) or {} for key in ("cpu", "memory", "python"))
    header = timeline.trainer.process.header if timeline else {}
    facts = {
        "machine": cpu.get("model"),
        "cores": cpu.get("usable_cores"),
        "memory_bytes": memory.get("limit_bytes") or memory.get("total_bytes"),
        "os": (about.get("os") or {}).get("name"),
        "python": header.get("python") or python.get("version"),
        "torch": header.get("torch"),
        "cuda": header.get("cuda") or None,
        "container": about.get("container"),
        "filesystem": (about.get("disk") or {}).get("cwd"),
        "accelerators": about.get("accelerators") or None,
    }
    variables = [f"{name}={value}" for name, value in (about.get("variables") or {}).items()]
    facts["variables"] = variables or None
    return {name: value for name, value in facts.items() if value is not None}


def _overhead(record: RunRecord, timeline: Timeline | None) -> dict[str, Any]:
    """Return what measuring cost: in the training (spans times the cost of one, measured there) and beside it."""
    found: dict[str, Any] = dict(record.overhead)
    if timeline is None or not len(timeline.totals):
        return found
    process = timeline.trainer.process
    start, end = timeline.measured
    inside = (
        (process.spans.start_ns >= start)
        & (process.spans.start_ns < end)
        & (process.spans.kind != Kind.PAUSE)
    )
    steps = max(1, int(timeline.steady.settled.sum()))
    spans = float(np.count_nonzero(inside)) / steps
    cost = process.header.get("span_cost_ns")
    step = float(timeline.mean_phases().sum())
    if isinstance(cost, (int, float)) and step > 0:
        per_step = spans * (float(cost) + _AROUND_NS) / 1e9
        found |= {"per_step_s": per_step, "per_step_frac": per_step / step, "spans_per_step": spans}
        found["note"] = (
            "estimated: spans per step times what one costs, measured at the start of the training"
        )
    return found


# What a hook adds around its span: two clock readings, flags, one more Python frame. `make bench` (hooks) gives
# 1.8 us for an outermost module call, of which its span is 0.5 us.
_AROUND_NS = 1_500.0


def _run(record: RunRecord, analysed: Analysed, timeline: Timeline | None) -> dict[str, Any]:
    """Return command, times, outcome and where the whole wall time went."""
    outcome = record.outcome
    return {
        "id": record.run_id,
        "command": list(record.command.get("argv", ())),
        "form": record.command.get("form"),
        "script": record.command.get("script"),
        "started": record.started,
        "wall_s": (outcome.end_ns - outcome.start_ns) / 1e9,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "stopped_by_us": outcome.stopped_by_us,
        "status": "partial" if _cut_short(record) or _any_damage(record) else "complete",
        "result": _result(analysed, record),
        "reasons": list(_cut_short(record)),
        "account": list(account.lines(timeline, outcome, analysed.experiments_end_ns)) if timeline else [],
        "tool_version": record.tool_version,
        "source": record.source,
        **({"traces": trace_notes.rows(record)} if record.source == "trace" else {}),
        **_recipe(record),
    }


def _recipe(record: RunRecord) -> dict[str, Any]:
    """Return what was changed at run time, and what refused, where the run was made with a recipe."""
    told = [event.data for process in record.processes for event in process.told("override")]
    rows = [f"{one.get('name')} {one.get('state')}: {one.get('detail')}" for one in told]
    return {"changes": list(dict.fromkeys(rows))} if rows else {}


def _plain(measurements: Measurements) -> dict[str, Any]:
    """Return every measurement with unit, interval, samples, source and meaning."""
    return {
        key: {
            "value": m.value,
            "unit": m.unit,
            "interval": m.interval,
            "samples": m.samples,
            "given_by": m.given_by,
            "meaning": CATALOGUE[key].meaning,
        }
        for key, m in measurements.items()
    }


def _pictures(timeline: Timeline, record: RunRecord, analysed: Analysed) -> dict[str, Any]:
    """Return the data behind the pictures."""
    return {
        "steps": account.series(timeline),
        "input": input_pipeline.picture(timeline, analysed.makers),
        "stacks": hot_code.picture(timeline, analysed.makers, record.stacks, analysed.library_paths),
        **_modules(timeline, record),
        **({"ranks": table.picture(analysed.survey)} if analysed.survey is not None else {}),
    }


def _modules(timeline: Timeline, record: RunRecord) -> dict[str, Any]:
    """Return the model's modules and operators, where a deep window counted them."""
    counted = read_counted(record, timeline)
    if counted is None:
        return {}
    rows = modules.rows(counted)
    found = {"classes": modules.by_class(rows), "modules": rows, "operators": roofline.rows(counted)}
    return {"modules": found}
