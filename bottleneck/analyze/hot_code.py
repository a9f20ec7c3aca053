"""Names the code: what ``other`` is made of, where logging and the making of batches spend their time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .. import units
from ..model.record import ProcessRecord, StackCount, Stacks
from . import stacks as s
from .timeline import Timeline
from .values import Values

_LEAST = 20  # samples: below that a share is known to no better than 20 points
_FEWEST = 5  # however small the share: one stray sample then moves no more than a fifth of it
_NAMED = 0.25  # a place with a quarter of the samples is worth naming


def analyse(
    timeline: Timeline,
    makers: Sequence[ProcessRecord],
    stacks: Sequence[Stacks],
    library_paths: Sequence[str],
    values: Values,
) -> None:
    """Give ``logging.frac`` and the labels of hot code; without stacks, from timed spans alone."""
    sampled = s.of_thread(stacks, timeline.trainer.process.pid)
    other = [c for c in sampled if s.phase_of(c.frames) == "other"]
    _logging(other, sampled, library_paths, values)
    if sum(c.count for c in other) >= _LEAST:
        found = s.places(other, library_paths, 1)
        if found and found[0].share >= _NAMED:
            values.label("other.hotspot", f"{_quote(found[0])}")
    _own(other, library_paths, values)
    _input(timeline, makers, stacks, sampled, other, library_paths, values)


def _enough(rest: float) -> int:
    """Return how many samples split a share of the step so that the parts are known within five points, or 20.

    The standard error of a part is rest * 0.5 / sqrt(samples) at most.
    """
    return min(_LEAST, max(_FEWEST, math.ceil((rest / 0.1) ** 2)))


def _own(other: Sequence[StackCount], library_paths: Sequence[str], values: Values) -> None:
    """Give the share of the script's own code outside all phases: what samples call neither logging nor batches."""
    rest, total = values.number("step.other_frac"), sum(c.count for c in other)
    if rest is None or total < _enough(rest):
        values.lack("loop.own_frac", "too few samples of stacks fell outside the known phases")
        return
    made = not values.number("input.loaders")  # with a loader, names like `read` stand for something else
    known = [
        c for c in other if s.is_logging(c, library_paths) or (made and s.is_batch_making(c, library_paths))
    ]
    values.give("loop.own_frac", rest * (1 - sum(c.count for c in known) / total), total)


def _logging(
    other: Sequence[StackCount], sampled: Sequence[StackCount], library_paths: Sequence[str], values: Values
) -> None:
    """Give the share of logging: timed calls, and of ``other`` what samples say is logging."""
    timed, rest = values.number("step.logging_frac"), values.number("step.other_frac")
    if timed is None or rest is None:
        return
    total = sum(c.count for c in other)
    writing = [c for c in other if s.is_logging(c, library_paths)]
    seen = sum(c.count for c in writing) / total if total >= _enough(rest) else 0.0
    values.give("logging.frac", timed + rest * seen, total or 1)
    writing += [c for c in sampled if s.phase_of(c.frames) == "logging"]
    found = s.places(writing, library_paths, 1)
    if found:
        values.label("logging.hotspot", _quote(found[0]))


def _input(
    timeline: Timeline,
    makers: Sequence[ProcessRecord],
    stacks: Sequence[Stacks],
    sampled: Sequence[StackCount],
    other: Sequence[StackCount],
    library_paths: Sequence[str],
    values: Values,
) -> None:
    """Give the label of the code that making a batch spends most time in."""
    if not values.number("input.loaders"):
        _without_loader(other, library_paths, values)
        return
    making = making_stacks(timeline, makers, stacks)
    sample_s = values.number("input.sample_s") or 0.0
    collate = values.number("input.collate_frac") or 0.0
    transform = values.number("input.slowest_transform_frac") or 0.0
    found = s.places(making, library_paths, 1) if sum(c.count for c in making) >= _LEAST else ()
    if transform >= _NAMED and transform >= collate:
        values.label("input.hotspot", _slowest_transform(timeline, makers))
        values.label(
            "input.hotspot_cost",
            f"{units.seconds(values.number('input.slowest_transform_s') or 0)} per sample",
        )
        values.give("input.hotspot_frac", transform)
    elif found and found[0].share >= _NAMED:
        values.label("input.hotspot", _quote(found[0]))
        values.give("input.hotspot_frac", found[0].share, sum(c.count for c in making))
        if collate < 0.5:
            values.label("input.hotspot_cost", f"{units.seconds(found[0].share * sample_s)} per sample")
        else:
            cost = found[0].share * (values.number("input.batch_s") or 0.0)
            values.label("input.hotspot_cost", f"{units.seconds(cost)} per batch")
    elif collate >= 0.5:
        values.label("input.hotspot", "`collate_fn`")
        values.give("input.hotspot_frac", collate)
        values.label(
            "input.hotspot_cost", f"{units.seconds(values.number('input.collate_s') or 0)} per batch"
        )


def _without_loader(other: Sequence[StackCount], library_paths: Sequence[str], values: Values) -> None:
    """Give the waiting share of a loop that makes its own batches, as far as samples show it."""
    total, rest = sum(c.count for c in other), values.number("step.other_frac")
    if total < _LEAST or rest is None:
        return
    making = [c for c in other if s.is_batch_making(c, library_paths)]
    share = sum(c.count for c in making) / total
    values.give("input.wait_frac", (values.number("step.data_wait_frac") or 0.0) + rest * share, total)
    found = s.places(making, library_paths, 1)
    if found:
        values.label("input.hotspot", _quote(found[0]))
        step = values.number("step.mean_s") or 0.0
        values.label("input.hotspot_cost", f"{units.seconds(rest * share * found[0].share * step)} per step")


def making_stacks(
    timeline: Timeline, makers: Sequence[ProcessRecord], stacks: Sequence[Stacks]
) -> list[StackCount]:
    """Return the stacks of everything that makes batches: workers, or the training thread while it waits."""
    pids = {maker.pid for maker in makers} or {timeline.trainer.process.pid}
    found = [c for pid in sorted(pids) for c in s.of_thread(stacks, pid)]
    return [c for c in found if s.makes_batch(c.frames)]


def _slowest_transform(timeline: Timeline, makers: Sequence[ProcessRecord]) -> str:
    """Return the slowest timed transform as "`RandomRotation` in data.py:41"."""
    from .input_pipeline import transform_costs

    costs = transform_costs([p.spans for p in (makers or [timeline.trainer.process])])
    name, _, place = max(costs, key=lambda key: costs[key][1]).partition(" (")
    return f"`{name}`" + (f" in {place.rstrip(')').rsplit('/', 1)[-1]}" if place else "")


def _quote(place: s.Place) -> str:
    """Return a place as "`augment` in data.py:41"."""
    return f"`{place.text}` in {place.where}"


def made_of(
    timeline: Timeline, stacks: Sequence[Stacks], library_paths: Sequence[str]
) -> dict[str, tuple[tuple[str, float], ...]]:
    """Return per phase the places its samples fall into: (text, share of the phase)."""
    sampled = s.of_thread(stacks, timeline.trainer.process.pid)
    by_phase: dict[str, list[StackCount]] = {}
    for c in sampled:
        by_phase.setdefault(s.phase_of(c.frames), []).append(c)
    return {
        phase: tuple(
            (f"{place.text} in {place.where}", place.share) for place in s.places(counts, library_paths, 5)
        )
        for phase, counts in sorted(by_phase.items())
        if sum(c.count for c in counts) >= _LEAST // 2
    }


def picture(
    timeline: Timeline,
    makers: Sequence[ProcessRecord],
    stacks: Sequence[Stacks],
    library_paths: Sequence[str],
) -> Mapping[str, Any]:
    """Return hot lines of trainer and workers and a flame graph, ready to draw; empty without stacks."""
    sampled = s.of_thread(stacks, timeline.trainer.process.pid)
    making = making_stacks(timeline, makers, stacks)
    if not sampled:
        return {}

    def rows(counts: Sequence[StackCount]) -> list[dict[str, Any]]:
        return [
            {"text": p.text, "share": round(p.share, 4), "where": p.where}
            for p in s.places(counts, library_paths)
        ]

    return {
        "trainer": rows(sampled),
        "workers": rows(making) if makers else [],
        "flame": s.flame(making if makers and making else sampled),
        "samples": sum(c.count for c in sampled),
    }
