"""What the deep window counted of a step, and what the machine can do, read with care."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.record import ProcessRecord, RunRecord
from ..model.span import Kind
from . import useless
from .nesting import outermost
from .operators import Operator, Roofs, raised, read_operators, read_roofs, seconds_of_unlike_steps
from .phases import COLUMN
from .timeline import Timeline

MODEL = ("forward", "backward")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A step's operators and the roofs they are held against.

    Attributes:
        operators: Per counted block.
        updates: Counted blocks (of one update by each optimizer) in a training step.
        model_s: Forward and backward of such a block, undisturbed.
        unsure_s: How far that may be off beside the operators' time where steps make different calls: two standard
            errors of the difference. 0 where they do not: a median does not heed one disturbed step.
        own: Roofs with the training's number of threads.
        best: Roofs with all cores.
        tf32: Products of float32 may run in TF32.
        unique_bytes: Distinct memory touched by one counted block.
        modules: Rows of (name, class, parameters, calls).
        useless: Counts of what no result depends on; None where an older version recorded the run.
        unused: What gets gradients in vain (``agent/unused.py``).
        compared: Counted steps were compared with each other (``agent/constants.py``).
    """

    operators: tuple[Operator, ...]
    updates: float
    model_s: float
    unsure_s: float
    own: Roofs | None
    best: Roofs | None
    tf32: bool
    unique_bytes: float
    modules: tuple[tuple[str, str, float, float], ...]
    useless: Mapping[str, int] | None
    unused: Any
    compared: bool

    @property
    def classes(self) -> dict[str, str]:
        """Return the class of each module by its name."""
        return {name: kind for name, kind, _, _ in self.modules}


def read_counted(record: RunRecord, timeline: Timeline) -> Counted | None:
    """Return what the deep window counted in the training process of ``timeline``; None where there is nothing."""
    told: Any = record.deep.get(timeline.trainer.process.pid)
    counted = told.get("counted") if isinstance(told, Mapping) else None
    if not isinstance(counted, Mapping) or counted.get("complete") is not True:
        return None
    operators = read_operators(counted)
    process = next((p for p in record.processes if p.key == timeline.trainer.process.key), None)
    if not operators or process is None:
        return None
    device = "cuda" if any(o.device == "cuda" for o in operators) else "cpu"
    touched = [b for b in _list(counted.get("unique_bytes")) if isinstance(b, int) and b >= 0]
    bare, unlike = _bare_seconds(counted, process), seconds_of_unlike_steps(counted, MODEL)
    return Counted(
        operators=operators,
        updates=updates_per_step(told, timeline),
        model_s=statistics.median(bare) if any(bare) else _observed_seconds(timeline),
        unsure_s=2 * math.hypot(_standard_error(bare), _standard_error(unlike)) if unlike else 0.0,
        own=raised(read_roofs(record.roofline.get("own"), device), operators),
        best=raised(read_roofs(record.roofline.get("all"), device), operators),
        tf32=counted.get("tf32") is True,
        unique_bytes=float(np.median(touched)) if touched else 0.0,
        modules=tuple(_module_rows(_list(counted.get("modules")))),
        useless=useless.read(counted.get("useless")),
        unused=told.get("unused"),
        compared=isinstance(counted.get("constant"), Mapping),
    )


def _list(value: Any) -> list[Any]:
    """Return ``value`` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def _module_rows(rows: Sequence[Any]) -> list[tuple[str, str, float, float]]:
    """Return the rows that are (text, text, number, number)."""
    wanted = (str, str, int, int)
    kept = [r for r in rows if isinstance(r, list) and len(r) == len(wanted)]
    whole = [r for r in kept if all(isinstance(v, kind) for v, kind in zip(r, wanted, strict=True))]
    return [(r[0], r[1], float(r[2]), float(r[3])) for r in whole]


def updates_per_step(told: Mapping[str, Any], timeline: Timeline) -> float:
    """Return how many counted blocks of a deep window (``told``) a training step has."""
    unit = told.get("unit")
    return _updates(timeline) / max(1.0, float(unit) if isinstance(unit, int) else 1.0)


def _updates(timeline: Timeline) -> float:
    """Return how many optimizer steps a training step has, mean."""
    spans = timeline.trainer.spans
    ends = spans.end_ns[outermost(spans, Kind.OPTIMIZER)]
    first, last = timeline.bounds_ns[[0, -1]]
    count = int(np.count_nonzero((ends > first) & (ends <= last)))
    return max(1.0, count / max(1, len(timeline.totals)))


def _standard_error(seconds: Sequence[float]) -> float:
    """Return the standard error of their mean, 0 for fewer than two."""
    return statistics.stdev(seconds) / math.sqrt(len(seconds)) if len(seconds) > 1 else 0.0


def _bare_seconds(told: Mapping[str, Any], process: ProcessRecord) -> list[float]:
    """Return forward and backward of each block of updates between the counted ones.

    Time in which the thread waited for a core is left out, as it is of operators.
    """
    spans = process.spans
    kept = np.concatenate(
        [np.arange(len(spans))[outermost(spans, kind)] for kind in (Kind.FORWARD, Kind.BACKWARD)]
    )
    start, end = spans.start_ns[kept], spans.end_ns[kept]
    found = []
    for edges in _list(told.get("bare_ns")):
        if not (isinstance(edges, list) and len(edges) == 3 and all(isinstance(e, int) for e in edges)):
            continue
        first, last, waited = edges
        inside = (start >= first) & (end <= last)
        running = 1.0 - min(max(waited / max(1, last - first), 0.0), 1.0)
        found.append(float((end[inside] - start[inside]).sum()) * running / 1e9)
    return found


def _observed_seconds(timeline: Timeline) -> float:
    """Return forward and backward of an observed step, median; the machine may have treated them otherwise."""
    phases = timeline.phase_ns()[timeline.steady.timed]
    if not len(phases):
        return 0.0
    model = phases[:, COLUMN["forward"]] + phases[:, COLUMN["backward"]]
    return float(np.median(model)) / 1e9
