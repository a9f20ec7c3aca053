"""Where one training step ends and the next begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.span import Flag, Kind, Spans
from .evaluation import Evaluation
from .nesting import outermost

Ints = npt.NDArray[np.int64]
_RECURS = 20  # an optimizer stepped less often than every 20th time of the busiest does not close the cycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundaries:
    """Ends of the training steps.

    Attributes:
        ends_ns: Ends of the steps, increasing, int64, shape (steps,).
        definition: What a step is in this run, in words.
    """

    ends_ns: Ints
    definition: str


def find_boundaries(spans: Spans) -> Boundaries | None:
    """Return the steps in a trainer's spans (by start, outer first), None where it never stepped nor ran backward."""
    ends, optimizers = _updates(spans)
    if len(ends):
        ends, used = _anchor(ends, optimizers, spans)
        definition = _describe(used, len(np.unique(optimizers)))
    else:
        ends = np.unique(spans.end_ns[outermost(spans, Kind.BACKWARD)])
        definition = "one backward pass (no optimizer step was seen: compiled or hand-written updates)"
    return Boundaries(ends_ns=ends, definition=definition) if len(ends) else None


def _updates(spans: Spans) -> tuple[Ints, Ints]:
    """Return end and optimizer number of every update, skipped ones of a GradScaler included.

    A step inside a backward pass (an optimizer per parameter, stepped by hooks) ends with that pass.
    """
    stepped = spans.kind == Kind.OPTIMIZER
    skipped = (spans.kind == Kind.SCALER) & (spans.a == 1)
    chosen = stepped | skipped
    ends, numbers = spans.end_ns[chosen], spans.b[chosen]
    passes = spans.where(outermost(spans, Kind.BACKWARD))
    if len(passes) and len(ends):
        before = np.searchsorted(passes.start_ns, spans.start_ns[chosen], side="right") - 1
        held = (before >= 0) & (ends <= passes.end_ns[np.maximum(before, 0)])
        ends = np.where(held, passes.end_ns[np.maximum(before, 0)], ends)
        numbers = np.where(held, -1, numbers)
    order = np.argsort(ends, kind="stable")
    return ends[order], numbers[order]


def _anchor(ends: Ints, numbers: Ints, spans: Spans) -> tuple[Ints, int]:
    """Return the ends of the steps: of one optimizer among those that recur together, in each stretch of the run.

    Optimizers whose lives do not overlap (folds, phases of a schedule) each count in their own stretch.
    """
    kept: list[Ints] = []
    together = 1
    for group in _groups(ends, numbers):
        chosen = _pick(group, ends, numbers, spans)
        together = max(together, len(group))
        kept.append(ends[numbers == chosen])
    return np.unique(np.concatenate(kept)), together


def _groups(ends: Ints, numbers: Ints) -> list[list[int]]:
    """Return optimizer numbers grouped by overlapping lives, in order of their first step."""
    lives = sorted(
        (int(ends[numbers == n].min()), int(ends[numbers == n].max()), int(n)) for n in np.unique(numbers)
    )
    groups: list[list[int]] = []
    until = -1
    for start, end, number in lives:
        if groups and start < until:
            groups[-1].append(number)
        else:
            groups.append([number])
        until = max(until, end)
    return groups


def _pick(group: list[int], ends: Ints, numbers: Ints, spans: Spans) -> int:
    """Return the optimizer that closes the cycle of its group.

    The rarest one that still recurs (a generator stepped every fifth time), ignoring those below a twentieth of the
    busiest; among equals the one after which the next batch is asked for, then the last of the cycle.
    """
    counts = {n: int(np.count_nonzero(numbers == n)) for n in group}
    busiest = max(counts.values())
    regular = [n for n in group if counts[n] * _RECURS >= busiest]
    rarest = min(counts[n] for n in regular)
    close = [n for n in regular if counts[n] <= rarest * 1.2 + 1]
    return max(close, key=lambda n: (_followed_by_fetch(ends[numbers == n], ends, spans), close.index(n)))


def _followed_by_fetch(own: Ints, ends: Ints, spans: Spans) -> int:
    """Return after how many of ``own`` ends a fetch comes before any other optimizer's end."""
    fetches = np.append(spans.start_ns[spans.kind == Kind.NEXT], np.iinfo(np.int64).max)
    following = np.append(ends, np.iinfo(np.int64).max)
    next_fetch = fetches[np.searchsorted(fetches[:-1], own)]
    next_end = following[np.searchsorted(ends, own, side="right")]
    return int(np.count_nonzero((next_fetch < next_end) & (next_fetch < np.iinfo(np.int64).max)))


def first_start(spans: Spans, first_end: int, evaluation: Evaluation) -> int:
    """Return where the first step begins: its first fetch or forward that belongs to no evaluation before it.

    An epoch that was drawn to its end before anything trained (statistics of the data) is no part of the step.
    """
    begins = np.isin(spans.kind, (Kind.NEXT, Kind.ITER, Kind.FORWARD, Kind.BACKWARD, Kind.OPTIMIZER))
    begins &= (spans.start_ns < first_end) & ~evaluation.covers(spans.start_ns)
    begins &= spans.start_ns >= _drawn_before(spans, first_end)
    begins &= (spans.kind != Kind.NEXT) | (spans.flags & Flag.STOP == 0)
    candidates = spans.start_ns[begins]
    return int(candidates.min()) if len(candidates) else first_end


def _drawn_before(spans: Spans, first_end: int) -> int:
    """Return the end of the last epoch that ran dry before the first backward pass and was followed by another."""
    passes = spans.start_ns[spans.kind == Kind.BACKWARD]
    until = min(int(passes[0]), first_end) if len(passes) else first_end
    stops = spans.end_ns[(spans.kind == Kind.NEXT) & (spans.flags & Flag.STOP != 0) & (spans.end_ns <= until)]
    begun = spans.start_ns[(spans.kind == Kind.ITER) & (spans.start_ns < until)]
    followed = stops[stops <= begun.max()] if len(begun) else stops[:0]
    return int(followed.max()) if len(followed) else int(spans.start_ns.min())


def _describe(together: int, optimizers: int) -> str:
    """Return what a step is, in words."""
    if together > 1:
        return f"one cycle of {together} optimizers that step together"
    return (
        "one optimizer step"
        if optimizers == 1
        else "one optimizer step (several optimizers, one after another)"
    )
