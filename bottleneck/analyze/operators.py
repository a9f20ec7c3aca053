"""Operators of a counted step, read with care from what the agent wrote, each placed under this machine's roofs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Literal

from ..model.row_time import of_a_step

Limit = Literal["maths", "bandwidth", "overhead", "unplaced"]
_COLUMNS = 12
# Kinds of backward (agent/modules.py): what forward did before, gradients of which nothing comes, and what one pass for
# all losses would do once.
AGAIN, UNUSED, RETAINED = "again", "unused", "retained"
_MOST = 1e30

# An operator at less than a tenth of both roofs is limited by neither: an algorithm without vector units, irregular
# access, a kernel of the script's own. Good library kernels reach a third of a roof and more.
_FAR = 10.0
_ALIKE = (
    0.9  # of the operators' time is in calls that all steps make: what else differs is noise of the machine
)
_LONG_S = 1e-4  # a call: what counting adds to it, and takes off again, is less than a tenth of that

# Operators that read or write rows by index wait for memory at whatever rate the pattern of access allows.
_BY_INDEX = ("embedding", "_embedding", "index", "gather", "scatter", "take", "put")


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofs:
    """What the machine can do.

    Attributes:
        flops_per_s: Rate of matrix products by dtype ("float32", "tf32", ...).
        bytes_per_s: Bandwidth of memory.
        launch_s: Host time of the smallest operator.
        fault_s: Time until a fresh page of memory can be used; None where it was not probed.
    """

    flops_per_s: Mapping[str, float]
    bytes_per_s: float
    launch_s: float
    fault_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Calls of one operator with the same shapes in the same module, per optimizer step.

    Attributes:
        phase: "forward", "backward", "optimizer", "input" or "other".
        name: Operator without namespace.
        dims: Shapes of its tensors.
        dtype: Of its first floating-point tensor; "" without one.
        device: "cpu", "cuda", ...
        module: The module it belongs to; "" where none could be told.
        calls: How often it is called.
        seconds: Its time beyond what calling the smallest operator takes, all calls together.
        flops: Floating-point operations; products and attention only.
        bytes: Bytes of all operands.
        unique_bytes: The same with operands that share memory counted once.
        out: Elements returned by products.
        again: It was called before, in forward, and its result thrown away (activation checkpointing).
        unused: It makes gradients that reach nothing an optimizer updates.
        retained: An earlier pass of the same step had been through its part of the graph.
        constant: Part of its time that goes into results which are the same in every step.
        source: "file:line" of the script that calls it, or in backward called what it is the gradient of; "" where
            that is not known, or not one line.
    """

    phase: str
    name: str
    dims: str
    dtype: str
    device: str
    module: str
    calls: float
    seconds: float
    flops: float
    bytes: float
    unique_bytes: float
    out: float
    again: bool = False
    unused: bool = False
    retained: bool = False
    constant: float = 0.0
    source: str = ""


def read_operators(counted: Mapping[str, Any]) -> tuple[Operator, ...]:
    """Return the operators of ``counted`` (see ``agent/counting.py``); rows that are damaged are left out."""
    steps, rows = _number(counted.get("steps")), counted.get("rows")
    if not steps or steps < 1 or not isinstance(rows, list):
        return ()
    floor = (_number(counted.get("floor_ns")) or 0.0) / 1e9
    sources, constant = (
        told if isinstance(told, Mapping) else {} for told in map(counted.get, ("sources", "constant"))
    )
    found = (
        _operator(row, steps, floor, sources.get(str(n)), constant.get(str(n))) for n, row in enumerate(rows)
    )
    return _with_sources_in_backward([one for one in found if one is not None])


def _with_sources_in_backward(operators: Sequence[Operator]) -> tuple[Operator, ...]:
    """Give what backward calls for a module the line that module was called from, where it is one."""
    lines: dict[str, set[str]] = {}
    for one in operators:
        if one.phase == "forward" and one.module and one.source:
            lines.setdefault(one.module, set()).add(one.source)
    only = {module: next(iter(found)) for module, found in lines.items() if len(found) == 1}
    return tuple(
        replace(one, source=only.get(one.module, "")) if one.phase == "backward" else one for one in operators
    )


def _operator(row: Any, steps: float, floor: float, source: Any, constant: Any) -> Operator | None:
    """Return one row as an operator, None where it is none."""
    if not isinstance(row, list) or len(row) != _COLUMNS:
        return None
    texts, calls, taken, numbers = row[:6], _number(row[6]), row[7], [_number(v) for v in row[8:]]
    times = [_number(v) for v in taken] if isinstance(taken, list) and taken else [None]
    if not calls or None in numbers or None in times or not all(isinstance(t, str) for t in texts):
        return None
    flops, size, unique, out = (float(n or 0.0) / steps for n in numbers)
    seconds = of_a_step([float(t or 0.0) for t in times]) / 1e9 - floor * calls / steps
    return Operator(
        phase=phase_of(texts[0]),
        name=texts[1],
        dims=texts[2],
        dtype=texts[3],
        device=texts[4],
        module=texts[5],
        calls=calls / steps,
        seconds=max(0.0, seconds),
        flops=flops,
        bytes=max(size, unique),
        unique_bytes=unique,
        out=out,
        again=texts[0] == AGAIN,
        unused=texts[0] == UNUSED,
        retained=texts[0] == RETAINED,
        constant=min(1.0, _number(constant) or 0.0),
        source=PurePath(source).name if isinstance(source, str) else "",
    )


def seconds_of_unlike_steps(counted: Mapping[str, Any], phases: Sequence[str]) -> list[float]:
    """Return what operators of some phases took in each counted step; nothing where all steps make the same calls."""
    rows = counted.get("rows")
    chosen = [r[7] for r in rows if _is_row(r) and phase_of(r[0]) in phases] if isinstance(rows, list) else []
    times = [[_number(t) or 0.0 for t in taken] for taken in chosen if len(taken) == len(chosen[0])]
    everywhere = sum(sum(taken) for taken in times if all(taken))
    if everywhere >= _ALIKE * sum(map(sum, times)):
        return []
    return [sum(step) / 1e9 for step in zip(*times, strict=True)]


def _is_row(row: Any) -> bool:
    """Return whether ``row`` has the columns of one, and its times."""
    return (
        isinstance(row, list)
        and len(row) == _COLUMNS
        and isinstance(row[0], str)
        and isinstance(row[7], list)
    )


def phase_of(told: str) -> str:
    """Return the phase of a step that a phase told by the agent is a part of."""
    return "backward" if told in (AGAIN, UNUSED, RETAINED) else told


def _number(value: Any) -> float | None:
    """Return ``value`` as a finite number that is not negative, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _MOST:
        return None
    return float(value)


def read_roofs(told: Any, device: str) -> Roofs | None:
    """Return the roofs of ``device`` ("cpu" or "cuda") from one result of the probes, None where there are none."""
    about = told.get(device) if isinstance(told, Mapping) else None
    if not isinstance(about, Mapping):
        return None
    rates = about.get("flops_per_s")
    rates = {str(k): v for k, v in rates.items() if _number(v)} if isinstance(rates, Mapping) else {}
    bandwidth, launch = _number(about.get("bytes_per_s")), _number(about.get("launch_s"))
    if not rates or not bandwidth or not launch:
        return None
    return Roofs(
        flops_per_s=rates, bytes_per_s=bandwidth, launch_s=launch, fault_s=_number(about.get("fault_s"))
    )


def raised(roofs: Roofs | None, operators: Sequence[Operator]) -> Roofs | None:
    """Return the roofs, none of arithmetic below what a long operator reached under it: that probe was disturbed.

    Operators of a GPU are timed elsewhere; here they have the host's time.
    """
    if roofs is None:
        return None
    rates = dict(roofs.flops_per_s)
    for one in operators:
        if one.dtype in rates and one.device == "cpu" and one.seconds > _LONG_S * one.calls:
            rates[one.dtype] = max(rates[one.dtype], one.flops / one.seconds)
    return replace(roofs, flops_per_s=rates)


def roof_times(operator: Operator, roofs: Roofs, tf32: bool = False) -> tuple[float, float]:
    """Return the least seconds that its arithmetic, and its bytes, take on this machine."""
    name = "tf32" if tf32 and operator.dtype == "float32" and operator.device == "cuda" else operator.dtype
    rate = roofs.flops_per_s.get(name) or max(roofs.flops_per_s.values())
    return operator.flops / rate, operator.bytes / roofs.bytes_per_s


def reads_by_index(operator: Operator) -> bool:
    """Return whether an operator reads or writes rows by index."""
    return operator.name.startswith(_BY_INDEX)


def limit_of(operator: Operator, roofs: Roofs, tf32: bool = False) -> Limit:
    """Return what limits an operator: the roof that lies highest over it.

    One that takes less than a launch each time is overhead; one that is far from both roofs is not placed.

    Source:
        Williams et al., Roofline, CACM 2009, in time rather than rates (Wang et al. 2020).
    """
    maths, moved = roof_times(operator, roofs, tf32)
    launches = operator.calls * roofs.launch_s
    if operator.seconds <= launches:
        return "overhead"
    highest = max(maths, moved)
    if reads_by_index(operator) and operator.seconds >= _FAR * launches:
        return "bandwidth"
    if highest * _FAR < operator.seconds:
        return "overhead" if operator.seconds < _FAR * launches else "unplaced"
    return "maths" if maths >= moved else "bandwidth"


def seconds_by_limit(operators: Sequence[Operator], roofs: Roofs, tf32: bool = False) -> dict[Limit, float]:
    """Return the seconds of ``operators`` by what limits them."""
    found: dict[Limit, float] = {"maths": 0.0, "bandwidth": 0.0, "overhead": 0.0, "unplaced": 0.0}
    for operator in operators:
        found[limit_of(operator, roofs, tf32)] += operator.seconds
    return found


def intensity(operator: Operator) -> float:
    """Return FLOPs per byte, infinite where nothing moves."""
    return operator.flops / operator.bytes if operator.bytes else math.inf
