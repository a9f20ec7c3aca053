"""Makes a training's dearest calls again when it has ended, as they were and as advice would have them.

Run by the interpreter that trains, as a package of its own (``collect/replay.py`` starts it): one JSON object comes on
standard input, another one is printed. Everything here imports the standard library and torch alone.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

_UPDATES_PART = (
    0.2,
    0.7,
)  # of the time, at least and at most: as much as updates have of the training's time


def main(threads: int, seconds: float, told: dict[str, Any]) -> dict[str, Any]:
    """Return what became of ``told``'s ``calls`` and ``updates`` on its ``device`` (``operators``, ``optimizers``)."""
    import torch

    from . import operators, optimizers
    from .stage import Stage

    if threads:
        torch.set_num_threads(threads)
    device, calls = told["device"], told["calls"]
    torch.backends.cuda.matmul.allow_tf32 = bool(told.get("tf32"))
    torch.backends.cudnn.allow_tf32 = bool(told.get("cudnn_tf32"))
    torch.backends.cudnn.benchmark = bool(told.get("cudnn_benchmark"))
    if told["updates"]:
        _step_once(torch)
    begun = time.perf_counter()
    each = (
        seconds
        * min(max(told["updates_frac"], _UPDATES_PART[0]), _UPDATES_PART[1])
        / max(1, len(told["updates"]))
    )
    updated = [optimizers.replay(Stage(torch, device, each), one) for one in told["updates"]]
    stage = Stage(torch, device, seconds - (time.perf_counter() - begun))
    known = [call | {"names": _names(torch, call)} for call in calls]
    with torch.no_grad():
        floor, found = stage.floor(), operators.replay(stage, known)
    return {
        "device": device,
        "threads": torch.get_num_threads(),
        "floor_ns": floor,
        "operators": found,
        "optimizers": updated,
        "seconds": time.perf_counter() - begun,
    }


def _step_once(torch: Any) -> None:
    """Make one small update: the first of a process imports what torch needs for it, a second of the time else."""
    parameter = torch.zeros(1, requires_grad=True)
    parameter.grad = torch.zeros(1)
    torch.optim.SGD([parameter], lr=0.1).step()


def _names(torch: Any, call: dict[str, Any]) -> list[str]:
    """Return the names of an operator's arguments; none where this torch has no such operator."""
    overload = getattr(getattr(torch.ops.aten, call["op"], None), call["overload"], None)
    return [one.name for one in overload._schema.arguments] if overload is not None else []


def run(threads: str, seconds: str) -> None:
    """Read, replay and print."""
    print(json.dumps(main(int(threads), float(seconds), json.load(sys.stdin))))
