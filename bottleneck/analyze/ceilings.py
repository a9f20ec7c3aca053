"""The step with one resource taken away, from the blocks of the experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..model.ceiling import Ceiling, State
from ..model.record import ProcessRecord, RunRecord
from ..model.span import Kind
from ..verify.blocks import Block, blocks_of, step_pairs
from ..verify.plan import SLOWER, STALLS
from ..verify.statistics import Comparison, compare
from .phases import COLUMN, Segments
from .timeline import Timeline, build
from .trainer import find_trainers
from .values import Values

_GIVES = {
    "input": ("ceiling.input_s", "ceiling.input_frac"),
    "transfer": ("ceiling.transfer_s", "ceiling.transfer_frac"),
    "logging": ("ceiling.logging_s", "ceiling.logging_frac"),
    "checkpoint": ("ceiling.checkpoint_s", "ceiling.checkpoint_frac"),
    "evaluation": ("ceiling.evaluation_s", "ceiling.evaluation_frac"),
    "gc": ("ceiling.gc_s", "ceiling.gc_frac"),
    "sync": ("ceiling.sync_s", "ceiling.sync_frac"),
    "collectives": ("ceiling.collectives_s", "ceiling.collectives_frac"),
    "anomaly": ("ceiling.anomaly_s", "ceiling.anomaly_frac"),
}
_ALONE = "loader_alone"
_FEW_PAIRS = 2  # one pair has no interval: nothing is known of its noise


def analyse(record: RunRecord, timeline: Timeline, values: Values) -> tuple[Ceiling, ...]:
    """Give ``ceiling.*`` and return a row for each experiment, the largest share first.

    Args:
        record: The whole run, its experiments included.
        timeline: The steps before them, of the rank the measurements describe.
        values: What was measured in those steps; the ceilings are added.
    """
    key = timeline.trainer.process.key
    process = next((one for one in record.processes if one.key == key), None)
    ends = _ends(record.processes)
    if process is None or not (ends or _untried(record, ())):
        values.lack("ceiling", "no experiments were made in this run")
        return ()
    experiment = _Experiment(process, timeline)
    rows = []
    for arm, (state, reason) in ends.items():
        row = experiment.row(arm) if state == "done" else None
        if row is not None or arm != SLOWER:  # that stands in for an arm that has a row of its own
            rows.append(row or _without_figure(arm, state, reason))
    rows += [_skipped(record, arm) for arm in _untried(record, rows)]
    for row in rows:
        _give(row, timeline, values)
    return tuple(sorted(rows, key=lambda row: (-(row.share or 0.0), row.state, row.resource)))


def give_input_cost(values: Values) -> None:
    """Give ``input.cost_frac``: the wait for batches, or what an experiment without them showed to be another share.

    Workers that take cores from a model on the CPU cost more than the wait, a wait that hides something costs less.
    What the sampler takes is no part of it: it stays, however cheap a batch is to make.
    """
    wait, found = values.number("input.wait_frac"), values.measured("ceiling.input_frac")
    if wait is None:
        return
    drawn = values.number("input.sampler_frac") or 0.0
    if found is None or found.interval is None or found.interval[0] <= wait <= found.interval[1]:
        values.give("input.cost_frac", max(0.0, wait - drawn))
    else:
        ends = (found.interval[0] - drawn, found.interval[1] - drawn)
        values.give("input.cost_frac", max(0.0, found.value - drawn), found.samples, ends)


def _ends(processes: Sequence[ProcessRecord]) -> dict[str, tuple[str, str]]:
    """Return how each arm ended, (state, reason): done only where it did on every rank and each time."""
    found: dict[str, tuple[str, str]] = {}
    for process in processes:
        for event in process.told("ablated"):
            data: Mapping[str, Any] = event.data
            arm, state = str(data.get("arm", "")), str(data.get("state", ""))
            if state == "refused" and found.get(arm, ("",))[0] == "done":
                continue  # one more round was asked for and could not be had: the first still holds
            if found.get(arm, ("done",))[0] == "done":
                found[arm] = (state, str(data.get("reason") or ""))
    return found


class _Experiment:
    """The blocks of one rank."""

    def __init__(self, process: ProcessRecord, timeline: Timeline) -> None:
        """Find the blocks of ``process``; ``timeline`` is its steps before them."""
        self.process, self.spans = process, process.spans
        self.blocks = blocks_of(process.spans)
        self.timeline = timeline
        self.mean = timeline.mean_phases()
        updates = int(np.count_nonzero(timeline.trainer.spans.kind == Kind.OPTIMIZER))
        self.updates = max(1.0, updates / max(1, len(timeline.totals)))
        self.stalls = {name: float(self.mean[COLUMN[name]]) for name in STALLS}
        self.segments: Segments | None = None
        if any(self.stalls.values()) and (whole := build(find_trainers([process])[0])) is not None:
            self.segments = whole.segments

    def row(self, arm: str) -> Ceiling | None:
        """Return what the blocks of ``arm`` say, None where there are too few."""
        blocks = self.blocks.get(arm, [])
        if arm == _ALONE:
            return _alone(blocks)
        seconds = partial(self._step_s, arm)
        found = compare(step_pairs(blocks, self.spans, seconds, whole=arm in STALLS))
        if found is None or found.pairs < _FEW_PAIRS:
            return None
        if arm == SLOWER:
            return _bracket(found, self._added(), float(self.mean[COLUMN["data_wait"]] / self.mean.sum()))
        return _measured(arm, found)

    def _added(self) -> float:
        """Return the fraction of a step that was added to the making of its batches."""
        told = [event.data for event in self.process.told("ablated") if event.data.get("arm") == SLOWER]
        facts = told[-1].get("fingerprint") if told else None
        seconds = facts.get("added_s") if isinstance(facts, Mapping) else None
        batches = float(np.median(self.timeline.micro_batches)) or 1.0
        return float(seconds or 0.0) * batches / max(float(self.mean.sum()), 1e-12)

    def _step_s(self, arm: str, block: Block) -> float:
        """Return the mean step in a block; stalls that are not what it asks about count as often as they come.

        A checkpoint that falls into one block of two would else look like the difference between them.
        """
        beside = [name for name in STALLS if name != arm and self.stalls[name] > 0]
        seconds = block.step_s * self.updates
        if self.segments is None or not beside:
            return seconds
        inside = self.segments.totals(np.array([block.start_ns, block.end_ns], dtype=np.int64))[0]
        taken = float(sum(inside[COLUMN[name]] for name in beside)) / 1e9 / block.steps * self.updates
        return seconds - taken + sum(self.stalls[name] for name in beside)


def _measured(arm: str, found: Comparison) -> Ceiling:
    """Return the row of a resource that was taken away."""
    return Ceiling(
        resource=arm,
        state="measured",
        step_s=found.base_s,
        without_s=found.without_s,
        share=found.share,
        interval=found.interval,
        pairs=found.pairs,
    )


def _bracket(found: Comparison, added: float, raw: float) -> Ceiling | None:
    """Return the row of the input where batches were made slower by the fraction ``added`` of a step.

    Step time is convex in what a phase costs, so the part of a delay that the step notices is the most that the
    same part less would gain, and taking away the whole wait, ``raw``, gains at most that part of it (causal.md,
    3.2).
    """
    if added <= 0 or found.interval is None:
        return None
    noticed, most = (min(1.0, max(0.0, -part / added)) for part in (found.share, found.interval[0]))
    return Ceiling(
        resource="input",
        state="bracket",
        step_s=found.base_s,
        share=noticed * raw,
        interval=(0.0, most * raw),
        pairs=found.pairs,
        reason="could not be taken away: batches were made a little slower instead",
    )


def _alone(blocks: Sequence[Block]) -> Ceiling | None:
    """Return the row of the loader alone: its step is a batch."""
    if not blocks:
        return None
    seconds = float(np.mean([block.step_s for block in blocks]))
    return Ceiling(resource=_ALONE, state="measured", without_s=seconds, pairs=len(blocks))


def _without_figure(arm: str, state: str, reason: str) -> Ceiling:
    """Return the row of an experiment that gave no figure."""
    if state == "done":
        return Ceiling(resource=arm, state="skipped", reason="it ended before there was enough to compare")
    known: State = "invalid" if state == "invalid" else "refused"
    return Ceiling(resource=arm, state=known, reason=reason or "no reason was given")


def _untried(record: RunRecord, rows: Sequence[Ceiling]) -> list[str]:
    """Return the resources that the command did not try for a reason of its own."""
    tried = {row.resource for row in rows}
    named = [f.collector.partition(".")[2] for f in record.failures if f.collector.startswith("ceiling.")]
    return [arm for arm in dict.fromkeys(named) if arm not in tried]


def _skipped(record: RunRecord, arm: str) -> Ceiling:
    """Return the row of a resource that was not tried."""
    reason = next(f.reason for f in record.failures if f.collector == f"ceiling.{arm}")
    return Ceiling(resource=arm, state="skipped", reason=reason)


def _give(row: Ceiling, timeline: Timeline, values: Values) -> None:
    """Give the measurements of one row, or why there are none."""
    if row.resource == _ALONE and row.without_s is not None:
        values.give("ceiling.loader_batch_s", row.without_s, row.pairs)
    elif row.state == "bracket":
        values.give("bracket.input_frac", row.share, row.pairs, row.interval)
    elif row.resource in _GIVES and row.state == "measured":
        seconds, share = _GIVES[row.resource]
        values.give(seconds, row.without_s, row.pairs)
        values.give(share, row.share, row.pairs, row.interval)
    elif row.resource in _GIVES:
        for name in _GIVES[row.resource]:
            values.lack(name, row.reason)
