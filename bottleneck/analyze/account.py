"""The whole wall time of the run: nothing lies outside the account."""

from __future__ import annotations

import numpy as np

from ..model.record import Outcome
from ..model.report import PHASES, AccountLine
from .phases import COLUMN
from .timeline import Timeline
from .values import Values

_TEXT = {
    "data_wait": "waiting for data",
    "h2d": "copying to the device",
    "other": "other work of the loop",
    "gc": "garbage collection",
    "sync": "waiting for the device",
}
# What is no phase of a step, and what is said about it.
_BESIDE = {
    "compile": ("torch.compile", "part of other in step times"),
    "gap": ("steps not kept in detail", "the run was long: excluded from step times"),
    "pause": ("our own measuring", "excluded from step times"),
    "stopped": ("process stopped", "by SIGSTOP or a debugger: excluded from step times"),
}


def analyse(timeline: Timeline, outcome: Outcome, values: Values) -> None:
    """Give the ``run.*`` measurements."""
    wall = (outcome.end_ns - outcome.start_ns) / 1e9
    startup = (int(timeline.bounds_ns[0]) - outcome.start_ns) / 1e9
    values.give("run.wall_s", wall)
    values.give("run.startup_s", startup)
    if wall > 0:
        values.give("run.startup_frac", startup / wall)
    values.give("run.complete", float(outcome.exit_code == 0 and not outcome.stopped_by_us))


def lines(
    timeline: Timeline, outcome: Outcome, experiments_end_ns: int | None = None
) -> tuple[AccountLine, ...]:
    """Return the parts of the run's wall time; their seconds sum to the whole.

    Args:
        timeline: The steps as they are.
        outcome: Start and end of the run.
        experiments_end_ns: End of the experiments, which follow these steps; None where there were none.
    """
    first, last = int(timeline.bounds_ns[0]), int(timeline.bounds_ns[-1])
    start, end = min(outcome.start_ns, first), max(outcome.end_ns, last)
    imported = timeline.trainer.process.header.get("torch_import_ns")
    imported = min(max(int(imported), start), first) if isinstance(imported, int) else start
    parts: list[tuple[str, int, str]] = [
        ("start of Python and its imports", imported - start, "until torch was imported"),
        ("building data, model and loop", first - imported, "from there to the first step"),
    ]
    if timeline.trainer.process.device is not None:  # a profiler's trace begins somewhere in the run
        parts = [("before the first step", first - start, "")]
    totals = timeline.totals.sum(axis=0)
    note = f"in {len(timeline.totals)} steps"
    parts += [(_TEXT.get(name, name), int(totals[COLUMN[name]]), note) for name in PHASES]
    parts += [(text, int(totals[COLUMN[name]]), why) for name, (text, why) in _BESIDE.items()]
    if experiments_end_ns is not None:
        tried = min(max(experiments_end_ns, last), end)
        parts.append(
            ("experiments", tried - last, "one resource taken away at a time: excluded from step times")
        )
        last = tried
    parts.append(("after the last step", end - last, ""))
    wall = max(1, end - start)
    return tuple(
        AccountLine(name=name, seconds=ns / 1e9, share=ns / wall, note=note)
        for name, ns, note in parts
        if ns > 0
    )


def series(timeline: Timeline, most: int = 600) -> list[dict[str, float | bool]]:
    """Return the steps over time for a picture: at most ``most`` points, each the slowest of its stretch."""
    seconds = timeline.step_ns / 1e9
    stride = -(-len(seconds) // most)
    points: list[dict[str, float | bool]] = []
    for begin in range(0, len(seconds), stride):
        worst = begin + int(np.argmax(seconds[begin : begin + stride]))
        points.append(
            {
                "index": worst,
                "seconds": round(float(seconds[worst]), 9),
                "timed": bool(timeline.steady.timed[worst]),
            }
        )
    return points
