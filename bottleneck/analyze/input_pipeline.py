"""How batches are made and what the loop waits for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..model.record import ProcessRecord
from ..model.span import Flag, Kind, Spans
from .loaders import first_passes
from .timeline import Timeline
from .values import Values

Floats = npt.NDArray[np.float64]


def analyse(timeline: Timeline, makers: Sequence[ProcessRecord], values: Values) -> None:
    """Give the ``input.*`` measurements of one training process and its loader workers."""
    loaders = timeline.evaluation.loaders
    values.give("input.loaders", len(loaders))
    share, seconds = values.number("step.data_wait_frac"), values.number("step.mean_s")
    values.give("input.wait_frac", share, int(values.number("step.count") or 1))
    if not loaders:
        values.give("input.workers", 0)
        values.give("input.epoch_gap_frac", 0.0)
        values.lack("input", "the loop makes its batches itself, no DataLoader was used for training")
        values.label("input.maker", "the training loop itself")
        return
    settings = _settings(timeline, loaders, values)
    workers = int(settings.get("workers") or 0)
    asked = _requests(timeline, loaders)
    _waiting(asked, workers, values)
    _drawing(timeline, asked, values)
    _epochs(timeline, loaders, asked, values)
    made = _batches(timeline, makers, workers)
    _making(made, values)
    if workers and seconds:
        _busy(timeline, made, workers, values)


def _settings(timeline: Timeline, loaders: frozenset[int], values: Values) -> Mapping[str, Any]:
    """Give the settings of the loader that feeds training most, and return them."""
    told = {event.data.get("number"): event.data for event in timeline.trainer.process.told("loader")}
    spans = timeline.trainer.spans
    counts = {
        loader: int(np.count_nonzero((spans.kind == Kind.NEXT) & (spans.b == loader))) for loader in loaders
    }
    named = [loader for loader in sorted(loaders) if loader in told]  # the agent tells of the first 64
    settings = told[max(named, key=lambda loader: counts[loader])] if named else {}
    workers = int(settings.get("workers") or 0)
    values.give("input.workers", workers)
    for name in ("prefetch_factor", "batch_size"):
        if isinstance(settings.get(name), int):
            values.give(f"input.{name}", float(settings[name]))
    for name in ("pin_memory", "persistent_workers", "iterable"):
        if name in settings:
            values.give(f"input.{name}", float(bool(settings[name])))
    drawer = [str(settings.get(name) or "") for name in ("batch_sampler", "sampler")]
    values.label("input.sampler", f"`{drawer[drawer[0] == 'BatchSampler']}`" if any(drawer) else "")
    many = f"{workers} worker process" + ("es" if workers > 1 else "")
    values.label("input.maker", many if workers else "the training process itself")
    return settings


def _requests(timeline: Timeline, loaders: frozenset[int]) -> Spans:
    """Return the requests for training batches after warm-up."""
    spans = timeline.trainer.spans
    start, end = timeline.measured
    wanted = (spans.kind == Kind.NEXT) & _for_training(timeline, loaders)
    return spans.where(wanted & (spans.start_ns >= start) & (spans.start_ns < end))


def _for_training(timeline: Timeline, loaders: frozenset[int]) -> npt.NDArray[np.bool_]:
    """Return which spans concern ``loaders``, passes over them that only evaluate left out."""
    mine = np.isin(timeline.trainer.spans.b, list(loaders))
    mine[timeline.evaluation.fetches] = False
    return mine


def _waiting(asked: Spans, workers: int, values: Values) -> None:
    """Give how often no batch was ready, and what taking over a ready one costs."""
    served = asked.where((asked.flags & (Flag.STOP | Flag.FIRST) == 0) & (asked.a >= 0))
    if not workers or not len(served):
        return
    values.give("input.starved_frac", float(np.mean(served.a == 0)), len(served))
    values.give("input.ready_batches", float(np.mean(served.a)), len(served))
    ready = served.where(served.a > 0)
    if len(ready) >= 5:
        values.give("input.receive_s", float(np.median(ready.end_ns - ready.start_ns)) / 1e9, len(ready))


def _drawing(timeline: Timeline, asked: Spans, values: Values) -> None:
    """Give what the sampler takes; draws too short to be recorded count as nothing."""
    spans, mean = timeline.trainer.process.spans, values.number("step.mean_s")
    start, end = timeline.measured
    inside = (spans.start_ns >= start) & (spans.start_ns < end)
    drawn = spans.where(
        (spans.kind == Kind.SAMPLE) & np.isin(spans.b, list(timeline.evaluation.loaders)) & inside
    )
    if not len(asked) or not mean:
        return
    each = float((drawn.end_ns - drawn.start_ns).sum()) / 1e9 / len(asked)
    values.give("input.sampler_s", each, len(asked))
    values.give("input.sampler_frac", each * (values.number("step.micro_batches") or 1.0) / mean, len(asked))


def _epochs(timeline: Timeline, loaders: frozenset[int], asked: Spans, values: Values) -> None:
    """Give the cost of starting an epoch: iterator, workers, first batch, and the end of the one before."""
    spans = timeline.trainer.spans
    start, end = timeline.measured
    mine = _for_training(timeline, loaders)
    all_first = (spans.kind == Kind.NEXT) & mine & (spans.flags & Flag.FIRST != 0)
    values.give("input.epochs", int(np.count_nonzero(all_first)))
    _renewed(timeline, mine, values)
    inside = mine & (spans.start_ns >= start) & (spans.start_ns < end)
    gaps = spans.where(inside & ((spans.kind == Kind.ITER) | all_first | _stops(spans)))
    begun = int(np.count_nonzero(all_first & inside))
    if not begun:
        values.lack("input.epoch_gap_s", "no epoch began among the measured steps")
        values.give("input.epoch_gap_frac", 0.0, 1)
        return
    usual = asked.where(asked.flags & (Flag.FIRST | Flag.STOP) == 0)
    typical = float(np.median(usual.end_ns - usual.start_ns)) if len(usual) else 0.0
    extra = max(0.0, float((gaps.end_ns - gaps.start_ns).sum()) - begun * typical)
    values.give("input.epoch_gap_s", extra / begun / 1e9, begun)
    values.give("input.epoch_gap_frac", extra / (end - start), begun)
    settled = int(np.count_nonzero(timeline.steady.settled))
    values.give("input.steps_per_epoch", settled / begun, begun)


def _renewed(timeline: Timeline, mine: npt.NDArray[np.bool_], values: Values) -> None:
    """Give how many epochs begin with a loader made anew; none where no epoch began after the first step.

    The starts before that step are those of every loader a run begins with, so they tell nothing.
    """
    spans = timeline.trainer.spans
    start, end = timeline.measured
    later = (spans.start_ns >= max(start, int(timeline.bounds_ns[1]))) & (spans.start_ns < end)
    starts = mine & later & (spans.kind == Kind.ITER) & (spans.b > 0)  # 0: the agent could not tell which
    new = first_passes(spans)[starts]
    values.give("input.renewed_frac", float(new.mean()) if len(new) else 0.0, max(1, len(new)))


def _stops(spans: Spans) -> npt.NDArray[np.bool_]:
    """Return which spans are the request that ends an epoch: workers are joined there."""
    stops: npt.NDArray[np.bool_] = (spans.kind == Kind.NEXT) & (spans.flags & Flag.STOP != 0)
    return stops


def _batches(timeline: Timeline, makers: Sequence[ProcessRecord], workers: int) -> list[Spans]:
    """Return, per process that makes training batches, its spans about them after warm-up."""
    start, end = timeline.measured
    kinds = (Kind.BATCH, Kind.COLLATE, Kind.TRANSFORM, Kind.BATCH_IO)
    loaders = timeline.evaluation.loaders
    if not workers:
        own = timeline.trainer.process.spans.of(*kinds)
        asked = _requests(timeline, loaders)
        before = np.searchsorted(asked.start_ns, own.start_ns, side="right") - 1
        inside = (before >= 0) & (own.end_ns <= asked.end_ns[np.maximum(before, 0)]) if len(asked) else None
        return [own.where(inside)] if inside is not None else []
    found = []
    for maker in makers:
        if _serves(maker, timeline, loaders):
            spans = maker.spans.of(*kinds)
            found.append(spans.where((spans.start_ns >= start) & (spans.start_ns < end)))
    return [spans for spans in found if len(spans)]


def making_times(timeline: Timeline, makers: Sequence[ProcessRecord], workers: int) -> tuple[Floats, Floats]:
    """Return the time to make each training batch after warm-up, in seconds, in the order they were begun.

    Returns:
        What new worker processes made first (they open files, fill caches), and all other batches.
    """
    begun = [maker.spans.start_ns[maker.spans.kind == Kind.BATCH].min() for maker in makers if workers]
    made = [part.where(part.kind == Kind.BATCH) for part in _batches(timeline, makers, workers)]
    if not made:
        return np.zeros(0), np.zeros(0)
    whole = [part.where(part.flags & (Flag.STOP | Flag.RAISED) == 0) for part in made]
    start = np.concatenate([part.start_ns for part in whole])
    seconds: Floats = np.concatenate([part.end_ns - part.start_ns for part in whole]) / 1e9
    order = np.argsort(start, kind="stable")
    first = np.isin(start[order], begun)
    return seconds[order][first], seconds[order][~first]


def _serves(maker: ProcessRecord, timeline: Timeline, loaders: frozenset[int]) -> bool:
    """Return whether a worker was started by a training loader: its birth lies in that loader's start."""
    born = maker.header.get("born_ns")
    spans = timeline.trainer.spans
    starts = spans.where(spans.kind == Kind.ITER)
    if not isinstance(born, int) or not len(starts):
        return True
    held = (starts.start_ns <= born) & (born <= starts.end_ns)
    return not held.any() or bool(np.isin(starts.b[held], list(loaders)).any())


def _sum_by_batch(spans: Spans) -> dict[str, Floats]:
    """Return per batch of one process: wall, cpu, samples, bytes read, queued, in seconds and bytes; NaN: not read."""
    batch = spans.where((spans.kind == Kind.BATCH) & (spans.flags & (Flag.STOP | Flag.RAISED) == 0))
    io = spans.where(spans.kind == Kind.BATCH_IO)
    place = np.searchsorted(io.start_ns, batch.start_ns)
    matched = (
        (place < len(io)) & (io.start_ns[np.minimum(place, max(0, len(io) - 1))] == batch.start_ns)
        if len(io)
        else None
    )
    read = np.full(len(batch), np.nan)
    queued = np.full(len(batch), np.nan)
    if matched is not None:
        read[matched] = io.a[place[matched]]
        queued[matched] = io.b[place[matched]] / 1e9
    wall = (batch.end_ns - batch.start_ns) / 1e9
    return {
        "wall": wall,
        "cpu": np.where(batch.flags & Flag.UNCLOCKED, np.nan, np.minimum(batch.b / 1e9, wall)),
        "samples": np.maximum(batch.a, 1).astype(float),
        "read": read,
        "queued": np.minimum(queued, wall),
    }


def _making(made: Sequence[Spans], values: Values) -> None:
    """Give what making a batch costs and what it is made of."""
    parts = [_sum_by_batch(spans) for spans in made]
    count = sum(len(part["wall"]) for part in parts)
    if not count:
        values.lack("input.batch_s", "no batch was made among the measured steps")
        return
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    wall = columns["wall"]
    mean = float(wall.mean())
    values.give("input.batch_s", mean, count)
    values.give("input.batch_cv_frac", float(wall.std() / mean) if mean else None, count)
    _computing(columns, mean, values)
    _collate(made, mean, values)
    _transforms(made, mean, float(columns["samples"].sum()), count, values)
    collate = values.number("input.collate_s") or 0.0
    values.give("input.sample_s", (mean - collate) / float(columns["samples"].mean()), count)


def _computing(columns: Mapping[str, Floats], mean: float, values: Values) -> None:
    """Give how much of making a batch is computing, waiting for a core, and blocked, from the batches looked at.

    Fast batches are looked at one in sixteen. Where the system does not tell how long a thread waited for a core,
    that time counts as blocked.
    """
    looked = ~np.isnan(columns["cpu"])
    if not looked.any():
        return
    told = ~np.isnan(columns["queued"])
    looked = looked & told if told.any() else looked
    wall, cpu, queued = (columns[name][looked] for name in ("wall", "cpu", "queued"))
    blocked = np.maximum(0.0, wall - cpu - np.nan_to_num(queued))
    count, whole = len(wall), max(float(wall.sum()), 1e-12)
    values.give("input.cpu_frac", float(cpu.sum()) / whole, count)
    values.give("input.batch_cpu_s", float(cpu.sum()) / whole * mean, count)
    values.give("input.blocked_frac", float(blocked.sum()) / whole, count)
    values.give("input.batch_blocked_s", float(blocked.sum()) / whole * mean, count)
    if told.any():
        values.give("input.batch_queued_s", float(queued.sum()) / whole * mean, count)
        values.give("input.read_bytes", float(columns["read"][looked].mean()), count)
        values.give("input.read_bytes_per_s", float(columns["read"][looked].sum()) / whole, count)


def _collate(made: Sequence[Spans], batch_s: float, values: Values) -> None:
    """Give the cost of collate_fn."""
    spans = [part.where(part.kind == Kind.COLLATE) for part in made]
    seconds = np.concatenate([(part.end_ns - part.start_ns) / 1e9 for part in spans])
    if len(seconds):
        values.give("input.collate_s", float(seconds.mean()), len(seconds))
        values.give("input.collate_frac", float(seconds.mean()) / batch_s, len(seconds))


def transform_costs(made: Sequence[Spans]) -> dict[str, tuple[int, float]]:
    """Return calls and total seconds of each timed transform, by name."""
    costs: dict[str, tuple[int, float]] = {}
    for part in made:
        spans = part.where(part.kind == Kind.TRANSFORM)
        for name in np.unique(spans.name):
            mine = spans.name == name
            calls, seconds = costs.get(part.names[name], (0, 0.0))
            costs[part.names[name]] = (
                calls + int(spans.a[mine].sum()),
                seconds + float(spans.b[mine].sum()) / 1e9,
            )
    return costs


def _transforms(made: Sequence[Spans], batch_s: float, samples: float, count: int, values: Values) -> None:
    """Give the share of timed transforms and the slowest of them."""
    costs = transform_costs(made)
    if not costs:
        values.lack("input.transform_frac", "the data set holds no composed list of transforms")
        return
    whole = batch_s * count
    values.give("input.transform_frac", sum(seconds for _, seconds in costs.values()) / whole, count)
    slowest = max(costs, key=lambda name: costs[name][1])
    values.give("input.slowest_transform_s", costs[slowest][1] / samples, costs[slowest][0])
    values.give("input.slowest_transform_frac", costs[slowest][1] / whole, costs[slowest][0])


def _busy(timeline: Timeline, made: Sequence[Spans], workers: int, values: Values) -> None:
    """Give the share of the workers' time that goes into making batches."""
    start, end = timeline.measured
    spent = sum(float((np.minimum(s.end_ns, end) - s.start_ns)[s.kind == Kind.BATCH].sum()) for s in made)
    count = sum(int(np.count_nonzero(s.kind == Kind.BATCH)) for s in made)
    if end > start and count:
        values.give("input.worker_busy_frac", min(1.0, spent / (workers * (end - start))), count)


def picture(timeline: Timeline, makers: Sequence[ProcessRecord]) -> list[dict[str, Any]]:
    """Return the parts of making a batch for a picture: name, mean seconds, where it is defined."""
    settings = timeline.trainer.process.told("loader")
    loaders = timeline.evaluation.loaders
    workers = max(
        (int(e.data.get("workers") or 0) for e in settings if e.data.get("number") in loaders), default=0
    )
    made = _batches(timeline, makers, workers)
    parts = [_sum_by_batch(spans) for spans in made]
    count = sum(len(part["wall"]) for part in parts)
    if not count:
        return []
    wall = sum(float(part["wall"].sum()) for part in parts) / count
    rows: list[dict[str, Any]] = []
    for name, (_, seconds) in sorted(transform_costs(made).items(), key=lambda item: -item[1][1])[:12]:
        rows.append({"name": name.split(" (")[0], "seconds": seconds / count, "where": _where(name)})
    collate = sum(float((s.end_ns - s.start_ns)[s.kind == Kind.COLLATE].sum()) for s in made) / 1e9 / count
    rest = wall - collate - sum(float(row["seconds"]) for row in rows)
    rows.insert(0, {"name": "reading and the rest of __getitem__", "seconds": max(0.0, rest), "where": ""})
    rows.append({"name": "collate", "seconds": collate, "where": ""})
    return rows


def _where(name: str) -> str:
    """Return the place in "Class (file:line)"."""
    return name.split(" (", 1)[1].rstrip(")") if " (" in name else ""
