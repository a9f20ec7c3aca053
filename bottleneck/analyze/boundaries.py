"""Where one training step ends and the next begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..model.span import Flag, Kind, Spans

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundaries:
    """Ends of the training steps.

    Attributes:
        first_ns: Start of the first step: its first fetch or forward.
        ends_ns: Ends of the steps, increasing, int64, shape (steps,).
        definition: What a step is in this run, in words.
        steady: False where steps are counted by backward passes, for want of optimizer steps.
    """

    first_ns: int
    ends_ns: Ints
    definition: str
    steady: bool = True


def find_boundaries(spans: Spans, evaluation_ends: Ints, evaluation_starts: Ints) -> Boundaries | None:
    """Return the steps in a trainer's spans, or None where it never stepped nor ran backward."""
    ends, optimizers = _updates(spans)
    if len(ends):
        ends, used = _anchor(ends, optimizers, spans)
        definition = _describe(used, len(np.unique(optimizers)))
    else:
        ends = _outermost_ends(spans, Kind.BACKWARD)
        definition = "one backward pass (no optimizer step was seen: compiled or hand-written updates)"
    if not len(ends):
        return None
    first = _first_start(spans, int(ends[0]), evaluation_starts, evaluation_ends)
    return Boundaries(first_ns=first, ends_ns=ends, definition=definition, steady=len(optimizers) > 0)


def _updates(spans: Spans) -> tuple[Ints, Ints]:
    """Return end and optimizer number of every update, skipped ones of a GradScaler included.

    A step inside a backward pass (an optimizer per parameter, stepped by hooks) ends with that pass.
    """
    stepped = spans.kind == Kind.OPTIMIZER
    skipped = (spans.kind == Kind.SCALER) & (spans.a == 1)
    chosen = stepped | skipped
    ends, numbers = spans.end_ns[chosen], spans.b[chosen]
    passes = spans.where(spans.kind == Kind.BACKWARD)
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
    regular = [n for n in group if counts[n] * 20 >= busiest]
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


def _outermost_ends(spans: Spans, kind: Kind) -> Ints:
    """Return the ends of the spans of ``kind`` that lie in no other of them."""
    own = spans.where(spans.kind == kind)
    if not len(own):
        return np.empty(0, np.int64)
    reach = np.maximum.accumulate(own.end_ns)
    outer = np.concatenate(([True], own.end_ns[1:] > reach[:-1]))
    return own.end_ns[outer]


def _first_start(spans: Spans, first_end: int, starts: Ints, ends: Ints) -> int:
    """Return where the first step begins: its first fetch or forward that belongs to no evaluation before it."""
    begins = np.isin(spans.kind, (Kind.NEXT, Kind.ITER, Kind.FORWARD, Kind.BACKWARD, Kind.OPTIMIZER))
    begins &= (spans.start_ns < first_end) & (spans.flags & Flag.STOP == 0)
    candidates = spans.start_ns[begins]
    if len(starts):
        before = np.searchsorted(starts, candidates, side="right") - 1
        candidates = candidates[(before < 0) | (candidates > ends[np.maximum(before, 0)])]
    return int(candidates.min()) if len(candidates) else first_end


def _describe(together: int, optimizers: int) -> str:
    """Return what a step is, in words."""
    if together > 1:
        return f"one cycle of {together} optimizers that step together"
    return (
        "one optimizer step"
        if optimizers == 1
        else "one optimizer step (several optimizers, one after another)"
    )
