"""What limits a step's operators: arithmetic, memory or issuing them, against what the machine can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..model.record import RunRecord
from . import constants, repetition, unused, useless
from .counted import MODEL, Counted, read_counted
from .operators import (
    Limit,
    Operator,
    limit_of,
    roof_times,
    seconds_by_limit,
)
from .timeline import Timeline
from .traffic import Scaled, attention_frac, avoidable_frac
from .values import Values

_SHARES = (
    *("maths_frac", "bandwidth_frac", "loop_frac", "overhead_frac", "unplaced_frac"),
    *("avoidable_frac", "attention_frac", "again_frac", "unused_grad_frac", "constant_frac", "retained_frac"),
    *("padded_frac", "ignored_frac", "padding_frac", "scores_frac", "repeated_frac"),
)
_AREA = ("placed", *_SHARES, "mfu_frac", "flops_per_step", "recurrent_frac")
_MEMORY = (
    "memory.weights_bytes",
    "memory.gradients_bytes",
    "memory.optimizer_bytes",
    "memory.peak_bytes",
    "memory.retries",
)
_SHOWN = 3  # names in a sentence
_ROWS = 40  # operators in the report's table


def analyse(record: RunRecord, timeline: Timeline, values: Values) -> None:
    """Give the ``device.*`` measurements of the deep window, and what memory holds."""
    _memory(record, timeline, values)
    counted = read_counted(record, timeline)
    if counted is None:
        values.give("device.placed", 0.0)
        for name in _AREA[1:]:
            values.lack(f"device.{name}", "no deep window counted the operators of a step")
        return
    _totals(counted, values)
    placed = counted.own is not None and _place(counted, timeline, values)
    values.give("device.placed", float(placed))
    _machine(counted, values)


def _totals(counted: Counted, values: Values) -> None:
    """Give operators, FLOPs and bytes of a training step, data loading in the process left out."""
    kept = [o for o in counted.operators if o.phase != "input"]
    flops = sum(o.flops for o in kept) * counted.updates
    moved = sum(o.bytes for o in kept) * counted.updates
    values.give("device.operators", sum(o.calls for o in kept) * counted.updates)
    values.give("device.flops_per_step", flops)
    values.give("device.recurrent_frac", repetition.of_recurrent_layers(kept, counted.classes))
    low = min(moved, counted.unique_bytes * counted.updates)
    values.give("device.bytes_per_step", moved, interval=(low, moved))
    mean = values.number("step.mean_s")
    if mean:
        values.give("device.flops_per_s", flops / mean)


def _place(counted: Counted, timeline: Timeline, values: Values) -> bool:
    """Give the shares by what limits; return False where the times of operators are not those of the device."""
    share, spent = values.number("compute.model_frac"), counted.model_s
    if any(o.device == "cuda" for o in counted.operators):
        for name in _SHARES:
            values.lack(
                f"device.{name}", "on a GPU the host's time of an operator says nothing about the device"
            )
        return False
    if (values.number("ddp.world") or 1) > 1:
        for name in _SHARES:
            values.lack(f"device.{name}", "with several ranks backward contains the waiting for others")
        return False
    if not share or not spent or counted.own is None:
        return False
    model = [o for o in counted.operators if o.phase in MODEL]
    work = seconds_by_limit(model, counted.own, counted.tf32)
    placed = work["maths"] + work["bandwidth"] + work["unplaced"]
    scale = share / max(spent, placed)
    overhead = _overhead(counted, spent - placed, values)
    loop = _loop(counted, values)
    values.give("device.loop_frac", sum(_shares(loop, counted).values()) - _shares(loop, counted)["overhead"])
    scaled = [*((o, scale) for o in model), *loop]
    limits = _shares(scaled, counted)
    values.give("device.maths_frac", limits["maths"])
    values.give("device.bandwidth_frac", limits["bandwidth"])
    values.give("device.avoidable_frac", avoidable_frac(scaled, counted.own, counted.tf32))
    values.give("device.attention_frac", attention_frac(scaled))
    values.give("device.again_frac", sum(o.seconds * part for o, part in scaled if o.again))
    useless.analyse(counted.useless, scaled, values)
    unused.analyse(counted.unused, scaled, values)
    constants.analyse(counted.compared, scaled, values)
    values.give("device.overhead_frac", overhead * scale)
    repetition.analyse(model, counted.classes, counted.own, counted.tf32, values)
    values.give("device.unplaced_frac", max(0.0, share - (placed - work["unplaced"] + overhead) * scale))
    values.give("device.double_frac", sum(o.seconds * part for o, part in scaled if o.dtype == "float64"))
    _rates([o for o, _ in scaled], counted, values)
    _largest(scaled, limits, counted, values)
    _update(counted, values)
    return True


def _loop(counted: Counted, values: Values) -> Scaled:
    """Return what the loop itself calls, outside modules: losses, metrics, models that are written as functions."""
    share, mean = values.number("step.other_frac"), values.number("step.mean_s")
    called = [o for o in counted.operators if o.phase == "other"]
    took = sum(o.seconds for o in called)
    if not share or not mean or not took:
        return ()
    # No more than the loop's own time: counting slows it, and the counted steps may have been slow ones.
    return [(o, share / max(share * mean / counted.updates, took)) for o in called]


def _shares(scaled: Scaled, counted: Counted) -> dict[Limit, float]:
    """Return the shares of the mean step by what limits operators."""
    assert counted.own is not None
    found: dict[Limit, float] = {"maths": 0.0, "bandwidth": 0.0, "overhead": 0.0, "unplaced": 0.0}
    for operator, part in scaled:
        found[limit_of(operator, counted.own, counted.tf32)] += operator.seconds * part
    return found


# The dearest kinds of operators on a few numbers cost four times the probe's (see rules/bottlenecks/host_overhead):
# what a step takes beyond that, and beyond its operators, is neither dispatch nor work of theirs.
_DEAREST = 4.0


def _overhead(counted: Counted, beside: float, values: Values) -> float:
    """Return what issuing the operators of a counted block costs, forward and backward.

    It is what model and backward take ``beside`` their operators, a difference of steps that are not alike. Where it
    could be no more than what so many operators cost at least, it is taken for that.
    """
    least = _least_overhead(counted, values) / counted.updates
    known = beside if beside - counted.unsure_s > least else min(beside, least)
    return min(max(0.0, known), _DEAREST * least)


def _least_overhead(counted: Counted, values: Values) -> float:
    """Return what issuing the operators of a training step costs if all are as cheap as the probe's."""
    assert counted.own is not None
    nodes, tiny = values.number("host.backward_nodes"), values.number("host.tiny_node_s")
    if nodes and tiny:
        return nodes * tiny
    # A node stands for an operator forward and about one backward, whose probe is the launch of one alone.
    return 2 * counted.own.launch_s * sum(o.calls for o in counted.operators if o.phase in MODEL)


def _rates(model: Sequence[Operator], counted: Counted, values: Values) -> None:
    """Give how near the limited operators come to their roof."""
    assert counted.own is not None
    limits: dict[Limit, list[Operator]] = {}
    for o in model:
        limits.setdefault(limit_of(o, counted.own, counted.tf32), []).append(o)
    maths, moving = limits.get("maths", []), limits.get("bandwidth", [])
    rate = counted.own.flops_per_s.get(_main_dtype(counted))
    seconds = sum(o.seconds for o in maths)
    if rate and seconds:
        values.give("device.maths_rate_frac", sum(o.flops for o in maths) / seconds / rate)
    seconds = sum(o.seconds for o in moving)
    if seconds:
        moved = sum(o.bytes for o in moving) / seconds
        values.give("device.bandwidth_rate_frac", moved / counted.own.bytes_per_s)


def _largest(scaled: Scaled, found: Mapping[Limit, float], counted: Counted, values: Values) -> None:
    """Give the names of the operators that take most of what limits most, with the line that most of each is for."""
    assert counted.own is not None
    limits: tuple[Limit, ...] = ("maths", "bandwidth", "unplaced")
    top = max(limits, key=lambda limit: found[limit])
    names: dict[str, float] = {}
    lines: dict[str, dict[str, float]] = {}
    for o, part in scaled:
        if limit_of(o, counted.own, counted.tf32) == top:
            names[o.name] = names.get(o.name, 0.0) + o.seconds * part
            at = lines.setdefault(o.name, {})
            at[o.source] = at.get(o.source, 0.0) + o.seconds * part
    ordered = sorted(names, key=lambda name: -names[name])[:_SHOWN]
    parts = [_named(name, names[name], lines[name]) for name in ordered if names[name] >= 0.01]
    values.label("device.largest", ", ".join(parts))


def _named(name: str, share: float, lines: Mapping[str, float]) -> str:
    """Return an operator with its share, and the line of the script that more than half of it is for."""
    line = max(lines, key=lambda one: lines[one])
    where = f" (for {line})" if line and lines[line] > share / 2 else ""
    return f"{name} {100 * share:.0f} %{where}"


def _update(counted: Counted, values: Values) -> None:
    """Give the part of the optimizer's time that its bytes need."""
    spent = values.number("step.optimizer_s")
    moved = sum(o.bytes for o in counted.operators if o.phase == "optimizer") * counted.updates
    if spent and counted.own is not None and moved:
        values.give("optimizer.floor_frac", min(1.0, moved / counted.own.bytes_per_s / spent))


def _main_dtype(counted: Counted) -> str:
    """Return the dtype in which most of the step's FLOPs are done."""
    flops: dict[str, float] = {}
    for o in counted.operators:
        flops[o.dtype] = flops.get(o.dtype, 0.0) + o.flops
    best = max(flops, key=lambda name: flops[name], default="")
    if not flops.get(best):  # no products at all: what the tensors are made of
        made_of = Counter(o.dtype for o in counted.operators if o.dtype).most_common(1)
        best = made_of[0][0] if made_of else "float32"
    on_gpu = any(o.device == "cuda" for o in counted.operators)
    return "tf32" if counted.tf32 and on_gpu and best == "float32" else best


def _machine(counted: Counted, values: Values) -> None:
    """Give the roofs, and the utilisation of the whole machine."""
    own, best = counted.own, counted.best
    if own is None or best is None:
        values.lack("device.mfu_frac", "the probes of this machine gave nothing")
        return
    name = _main_dtype(counted)
    peak, mine = best.flops_per_s.get(name), own.flops_per_s.get(name)
    values.give("device.peak_flops_per_s", peak)
    values.give("device.peak_bytes_per_s", best.bytes_per_s)
    values.give("device.launch_probe_s", own.launch_s)
    values.give("host.fault_s", own.fault_s)
    if peak and mine:
        values.give("device.threads_frac", min(1.0, mine / peak))
    values.give("device.threads_bandwidth_frac", min(1.0, own.bytes_per_s / best.bytes_per_s))
    done = values.number("device.flops_per_s")
    if peak and done is not None:
        values.give("device.mfu_frac", done / peak)
    single, double = (own.flops_per_s.get(n) for n in ("float32", "float64"))
    if single and double:
        values.give("device.double_cost", max(1.0, single / double))


def rows(counted: Counted) -> list[dict[str, Any]]:
    """Return the operators that take most time, each with its rate, intensity, limit and nearness to its roof.

    ``roof_frac`` is the least time this machine needs for its arithmetic or its bytes over the time it took.
    """
    ordered = sorted(counted.operators, key=lambda o: (-o.seconds, o.phase, o.name, o.dims, o.module))
    return [_row(o, counted) for o in ordered[:_ROWS] if o.seconds > 0]


def _row(operator: Operator, counted: Counted) -> dict[str, Any]:
    """Return one operator as plain values."""
    row: dict[str, Any] = {
        "operator": operator.name,
        "shapes": operator.dims,
        "dtype": operator.dtype,
        "phase": operator.phase,
        "module": operator.module,
        "source": operator.source,
        "calls": operator.calls,
        "seconds": operator.seconds,
        "flops_per_s": operator.flops / operator.seconds,
        "bytes": operator.bytes,
        "unique_bytes": operator.unique_bytes,
        "intensity": operator.flops / operator.bytes if operator.bytes else 0.0,
    }
    if counted.own is not None and operator.device == "cpu":
        row["limit"] = limit_of(operator, counted.own, counted.tf32)
        row["roof_frac"] = min(1.0, max(roof_times(operator, counted.own, counted.tf32)) / operator.seconds)
    return row


def _memory(record: RunRecord, timeline: Timeline, values: Values) -> None:
    """Give what memory holds."""
    told: Any = record.deep.get(timeline.trainer.process.pid)
    found = told.get("memory") if isinstance(told, Mapping) else None
    if not isinstance(found, Mapping):
        values.lack("memory", "no deep window looked at the tensors")
        return
    number = {k: float(v) for k, v in found.items() if isinstance(v, (int, float)) and 0 <= v < 1e18}
    for identifier in _MEMORY:
        values.give(identifier, number.get(identifier.removeprefix("memory.")))
    known = [number.get(n) for n in ("weights_bytes", "gradients_bytes", "optimizer_bytes")]
    peak, total = number.get("peak_bytes"), number.get("total_bytes")
    if peak is None:
        values.lack("memory", "the allocator of the CPU tells no peak")
    elif None not in known:
        values.give("memory.rest_bytes", max(0.0, peak - sum(k or 0.0 for k in known)))
    if total:
        values.give("memory.fragmented_frac", number.get("inactive_bytes", 0.0) / total)
