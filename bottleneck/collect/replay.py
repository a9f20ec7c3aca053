"""The last stage of a run: its dearest operators called again, when it has ended, as advice would have them called."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..model.record import Failure
from ..model.row_time import of_a_step
from ..store import read_json, write_json
from .aside import Aside

SECONDS = 3.0  # all calls together; the import of torch comes beside it
_LIMIT_S = 45.0  # with that import on a cold disk, and an operator that can't be interrupted; then there is no replay
_COVERED = 0.90  # of the operators' time: what comes behind moves no estimate by a tenth
_LEAST = 0.005  # of their time: nothing smaller is worth setting up, however little is covered
_MOST = 48
_ALIGN = {"cuda": 8, "cpu": 16}  # elements: matrix units of GPUs; one register of AVX-512 in float32
_UPDATE_MATTERS = 0.03  # of the operators' time: no advice on an update below that
_LEFT_OUT = ("input", "optimizer")  # phases: updates are made again as a whole
# What reads by index is as slow as its indices are far apart, and those are not known.
_INDEXED = ("max_pool", "nll_loss")
_FOLDER = Path(__file__).resolve().parent.parent / "agent" / "replay"
_START = """
import importlib.util, sys
folder, threads, seconds = sys.argv[1:]
spec = importlib.util.spec_from_file_location("again", folder + "/__init__.py", submodule_search_locations=[folder])
module = importlib.util.module_from_spec(spec)
sys.modules["again"] = module
spec.loader.exec_module(module)
module.run(threads, seconds)
"""

Told = Mapping[str, Any]
Row = list[Any]


def replay(run: Path, aside: Aside) -> tuple[Failure, ...]:
    """Make the calls again that the deep window of ``run`` told, and keep their times in ``deep/replay-PID.json``.

    Of several ranks the one with the lowest number is taken. Returns why there is nothing, else no failure.
    """
    found = sorted(_windows(run), key=lambda pair: _rank(pair[1]))
    if not found:
        return (Failure(collector="replay", reason="no operators were counted"),)
    pid, told = found[0]
    try:
        task = plan(told, _traced(run, pid))
        result = _made(aside, int(told["counted"]["threads"]), task)
        write_json(run / "deep" / f"replay-{pid}.json", _bound(task, result))
    except Exception as error:
        return (Failure(collector="replay", reason=f"{type(error).__name__}: {error}"[:500]),)
    return ()


def _windows(run: Path) -> Iterator[tuple[str, Told]]:
    """Yield process ids with what their windows found, where operators were counted to the end."""
    for path in sorted((run / "deep").glob("deep-*.json")):
        told = read_json(path)
        counted = told.get("counted") if isinstance(told, dict) else None
        if isinstance(counted, dict) and counted.get("complete") is True and counted.get("arguments"):
            yield path.stem.rpartition("-")[2], told


def _rank(told: Told) -> int:
    """Return the rank of a window's process."""
    rank = str(told.get("rank", "0"))
    return int(rank) if rank.isdecimal() else 0


def _traced(run: Path, pid: str) -> Told:
    """Return what the window's trace holds, {} where there is none."""
    path = run / "deep" / f"operators-{pid}.json"
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}


def plan(told: Told, traced: Told) -> dict[str, Any]:
    """Return what is to be made again: ``calls`` that cover most of the operators' time, and ``updates``.

    ``totals`` are rows of (phase, operator, dtype, seconds a counted block): all operators, replayed or not.

    Raises:
        ValueError: The model is on a device that is not timed here.
    """
    counted = told["counted"]
    rows: list[Row] = counted["rows"]
    device = "cuda" if any(row[4] == "cuda" for row in rows) else "cpu"
    if all(row[4] != device for row in rows):
        raise ValueError("the model is on another device than CPU or CUDA")
    seconds = _device_seconds(rows, traced) if device == "cuda" else _host_seconds(counted)
    kept = [n for n, row in enumerate(rows) if row[4] == device and row[0] not in _LEFT_OUT]
    flags = {name: bool(counted.get(name)) for name in ("tf32", "cudnn_tf32", "cudnn_benchmark")}
    calls = _merged(counted, seconds, kept)
    whole = sum(seconds[n] for n in kept)
    about = {"device": device, "tf32": flags["tf32"], "align": _ALIGN[device]}
    updating = sum(s for row, s in zip(rows, _host_seconds(counted), strict=True) if row[0] == "optimizer")
    double = any(row[3] == "float64" for row in rows if row[0] == "optimizer")
    matters = double or updating >= _UPDATE_MATTERS * (updating + whole)
    return {
        "device": device,
        **flags,
        "calls": [call | about for call in _dearest(calls, whole)],
        "updates": list(told.get("updates") or ()) if matters else [],
        "updates_frac": updating / max(updating + whole, 1e-9),
        "totals": _totals(rows, seconds, kept),
    }


def _host_seconds(counted: Told) -> list[float]:
    """Return the seconds of each row in a counted block, less what calling an operator takes there."""
    floor, steps = counted["floor_ns"], max(1, counted["steps"])
    return [max(0.0, of_a_step(row[7]) - floor * row[6] / steps) / 1e9 for row in counted["rows"]]


def _device_seconds(rows: Sequence[Row], traced: Told) -> list[float]:
    """Return the seconds of each row on the device in a step, parted by calls where the trace holds several as one."""
    steps = max(1, traced.get("steps") or 1)
    told = {(row[0], row[1]): row[5] / 1e6 / steps for row in traced.get("rows", ())}
    calls: dict[tuple[str, str], float] = {}
    for row in rows:
        calls[row[1], row[2]] = calls.get((row[1], row[2]), 0.0) + row[6]
    return [told.get((row[1], row[2]), 0.0) * row[6] / max(1.0, calls[row[1], row[2]]) for row in rows]


def _merged(counted: Told, seconds: Sequence[float], kept: Sequence[int]) -> list[dict[str, Any]]:
    """Return the calls that can be made again, those with equal arguments as one, with the time they take together."""
    steps = max(1, counted["steps"])
    found: dict[tuple[bool, str], dict[str, Any]] = {}
    for number in kept:
        call, row = counted["arguments"].get(str(number)), counted["rows"][number]
        if call is None or not seconds[number] or not _is_regular(call):
            continue
        backward = row[0] == "backward"
        one = found.setdefault(
            (backward, json.dumps(call, sort_keys=True)),
            {**call, "phase": row[0], "dtype": row[3], "dims": row[2], "calls": 0.0, "seconds": 0.0},
        )
        one["calls"] += row[6] / steps
        one["seconds"] += seconds[number]
    return [{**one, "each_s": one["seconds"] / one["calls"]} for one in found.values()]


def _is_regular(call: Told) -> bool:
    """Return whether a call takes the same time whatever its tensors hold."""
    text = json.dumps([call["args"], call["kwargs"]])
    return '"d": "int64"' not in text or str(call["op"]).startswith(_INDEXED)


def _dearest(calls: Sequence[dict[str, Any]], whole: float) -> list[dict[str, Any]]:
    """Return the calls that take most time, first first, until they cover enough of ``whole``."""
    found: list[dict[str, Any]] = []
    covered = 0.0
    for call in sorted(calls, key=lambda one: (-one["seconds"], one["op"], one["dims"])):
        if covered >= _COVERED * whole or call["seconds"] < _LEAST * whole or len(found) >= _MOST:
            break
        found.append(call)
        covered += call["seconds"]
    return found


def _totals(rows: Sequence[Row], seconds: Sequence[float], kept: Sequence[int]) -> list[list[Any]]:
    """Return the seconds by phase, operator and dtype."""
    found: dict[tuple[str, str, str], float] = {}
    for number in kept:
        key = (rows[number][0], rows[number][1], rows[number][3])
        found[key] = found.get(key, 0.0) + seconds[number]
    return [[*key, value] for key, value in sorted(found.items())]


def _made(aside: Aside, threads: int, task: Told) -> dict[str, Any]:
    """Return what the interpreter that trains made of ``task``; errors as of ``Aside.printed``."""
    arguments = [str(_FOLDER), str(threads), str(SECONDS)]
    return aside.printed("it", _START, arguments, _LIMIT_S, json.dumps(task))


_OF_A_CALL = ("op", "phase", "dtype", "dims", "calls", "seconds")


def _bound(task: Told, result: dict[str, Any]) -> dict[str, Any]:
    """Return times with the calls they belong to, without the arguments, which the window's own file holds."""
    pairs = zip(task["calls"], result["operators"], strict=True)
    rows = [{name: call[name] for name in _OF_A_CALL} | found for call, found in pairs]
    return {"format": 1, **result, "operators": rows, "totals": task["totals"]}
