"""Operators in a trace of torch.profiler: calls, host time without and with what they call, device time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..agent.tracing import MARK

_MOST = 2_000  # rows that are kept, those of most time first
_DIMS = 6
_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset"}


@dataclass(slots=True)
class _Call:
    """One operator call of the trace while it is read; times in microseconds."""

    name: str
    dims: str
    start: float
    end: float
    children: float = 0.0
    device: float = 0.0
    above: _Call | None = None


@dataclass(slots=True)
class _Row:
    """What calls of one kind add up to."""

    calls: int = 0
    total: float = 0.0
    own: float = 0.0
    device: float = 0.0


@dataclass(slots=True)
class _Seen:
    """Calls by thread, and by the number that device work refers to."""

    by_thread: dict[Any, list[_Call]] = field(default_factory=dict)
    by_id: dict[Any, _Call] = field(default_factory=dict)


def has_device_work(trace: Mapping[str, Any]) -> bool:
    """Return whether a GPU did anything while ``trace``, one that ``summary`` takes, was made."""
    return any(isinstance(event, dict) and event.get("cat") in _DEVICE for event in trace["traceEvents"])


def summary(trace: Any) -> dict[str, Any]:
    """Return the operators between the first and the last mark of a step.

    ``steps``, ``wall_us`` of them together, and ``rows``: operator without namespace, shapes, calls, total, own and
    device time in microseconds; device time counts for the operator and for those it was called from.

    Raises:
        ValueError: It is no trace, or holds no marks.
    """
    events = trace.get("traceEvents") if isinstance(trace, Mapping) else None
    if not isinstance(events, list):
        raise ValueError("not a trace: no traceEvents")
    whole = [e for e in events if isinstance(e, dict) and e.get("ph") == "X" and _is_number(e.get("ts"))]
    marks = sorted(float(e["ts"]) for e in whole if e.get("name") == MARK)
    if len(marks) < 2:
        raise ValueError("fewer than two marks of steps")
    seen = _calls(whole, marks[0], marks[-1])
    _add_device(whole, seen)
    rows = _rows(call for calls in seen.by_thread.values() for call in calls)
    ordered = sorted(rows.items(), key=lambda item: -(item[1].own + item[1].device))[:_MOST]
    return {
        "steps": len(marks) - 1,
        "wall_us": marks[-1] - marks[0],
        "operators": sum(len(calls) for calls in seen.by_thread.values()),
        "rows": [[*key, row.calls, row.total, row.own, row.device] for key, row in ordered],
    }


def _is_number(value: Any) -> bool:
    """Return whether ``value`` is a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _calls(events: Sequence[Mapping[str, Any]], start: float, end: float) -> _Seen:
    """Return the operator calls that begin between ``start`` and ``end``, each with the one it was called from."""
    seen = _Seen()
    kept = [e for e in events if e.get("cat") == "cpu_op" and start <= float(e["ts"]) < end]
    open_calls: dict[Any, list[_Call]] = {}
    for event in sorted(kept, key=lambda e: (float(e["ts"]), -_length(e))):
        call = _call(event)
        stack = open_calls.setdefault(event.get("tid"), [])
        while stack and stack[-1].end < call.end:
            stack.pop()
        if stack:
            call.above = stack[-1]
            call.above.children += call.end - call.start
        stack.append(call)
        seen.by_thread.setdefault(event.get("tid"), []).append(call)
        seen.by_id[(event.get("args") or {}).get("External id")] = call
    return seen


def _length(event: Mapping[str, Any]) -> float:
    """Return how long an event took, 0 where that is missing."""
    return float(event["dur"]) if _is_number(event.get("dur")) else 0.0


def _call(event: Mapping[str, Any]) -> _Call:
    """Return one operator event as a call."""
    start = float(event["ts"])
    arguments = event.get("args")
    dims = arguments.get("Input Dims") if isinstance(arguments, Mapping) else None
    name = str(event.get("name", ""))
    return _Call(
        name=name.rpartition("::")[2] if name.startswith("aten::") else name,
        dims=" ".join("x".join(map(str, shape)) for shape in list(_shapes(dims))[:_DIMS]),
        start=start,
        end=start + _length(event),
    )


def _shapes(value: Any) -> Iterable[list[int]]:
    """Yield the shapes in nested lists; numbers and tensors without dimensions have none."""
    if isinstance(value, list) and value:
        if all(isinstance(one, int) for one in value):
            yield value
        else:
            for one in value:
                yield from _shapes(one)


def _add_device(events: Sequence[Mapping[str, Any]], seen: _Seen) -> None:
    """Add device time to the operator that launched it and to all it was called from."""
    for event in events:
        if event.get("cat") in _DEVICE:
            call = seen.by_id.get((event.get("args") or {}).get("External id"))
            while call is not None:
                call.device += _length(event)
                call = call.above


def _rows(calls: Iterable[_Call]) -> dict[tuple[str, str], _Row]:
    """Return calls of the same operator and shapes together; a call within one of its own kind adds no total."""
    rows: dict[tuple[str, str], _Row] = {}
    for call in calls:
        row = rows.setdefault((call.name, call.dims), _Row())
        row.calls += 1
        row.own += max(0.0, call.end - call.start - call.children)
        if call.above is None or (call.above.name, call.above.dims) != (call.name, call.dims):
            row.total += call.end - call.start
            row.device += call.device
    return rows
