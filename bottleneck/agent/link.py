"""Measures what the link between ranks can do, once, when the script is about to be stopped anyway. Loaded only then.

Reductions of growing sizes run on a group of our own: made from the script's store with the constructor that
``init_process_group`` uses, so that the same interface is measured, and known to nobody else, so that names and
numbers of the script's groups stay as they are. A rank that does not come, or dies, can hold up the others for
seconds at most: nobody starts before all are there, and each call of the group has a timeout.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from . import late
from .recorder import Recorder, now

# 1 KiB to 16 MiB: from what is all latency to what fills no cache; DDP's buckets are 1 and 25 MiB.
_SIZES = tuple(1024 << 2 * power for power in range(8))
_LEAST, _MOST = 5, 25  # calls of each size: between cores that others use some take ten times as long
_MOST_RANKS = (
    64  # a group of gloo connects each rank with every other: beyond that it takes longer than the probe
)
_COME_S = 3.0  # ranks stop after the same step, and the step before it ended with their exchange
_TIMEOUT_S = 3.0  # of a call that takes milliseconds
_POLL_S = 0.005
_LINGER_S = 0.05  # rank 0, whose process may hold the store, leaves after the others have looked once more
_PREFIX = "trainbottleneck/link"


class _Refused(Exception):
    """The link can't be measured here; the text says why."""


def probe(torch: Any, recorder: Recorder, budget_s: float) -> None:
    """Tell the seconds of some reductions in the event "link", or why there are none; takes about ``budget_s``."""
    begin = now()
    try:
        found = {"state": "done", **_measured(torch.distributed, torch, budget_s)}
    except _Refused as reason:
        found = {"state": "refused", "reason": str(reason)}
    except Exception as error:
        if late.keep(error):
            return
        found = {"state": "failed", "reason": f"{type(error).__name__}: {error}"[:300]}
    recorder.event("link", begin_ns=begin, end_ns=now(), **found)


def _measured(distributed: Any, torch: Any, budget_s: float) -> dict[str, Any]:
    """Return world, sizes in bytes and the microseconds of the calls of each.

    Raises:
        _Refused: There is nothing to measure, or not everybody came.
    """
    c10d = _checked(distributed, torch)
    rank, world = distributed.get_rank(), distributed.get_world_size()
    store = c10d.PrefixStore(_PREFIX, c10d._get_default_store())
    if not _all_come(store, rank, world):
        raise _Refused("not all ranks came to measure the link")
    group = c10d.ProcessGroupGloo(
        c10d.PrefixStore("group", store), rank, world, timeout=timedelta(seconds=_TIMEOUT_S)
    )
    sizes, times = _reduce(torch, group, c10d.ReduceOp.MAX, budget_s)
    with contextlib.suppress(Exception):  # all is measured; a peer may have gone with the store it keeps
        _leave_together(store, rank, world)
    return {"backend": "gloo", "world": world, "sizes": sizes, "times_us": times}


def _checked(distributed: Any, torch: Any) -> Any:
    """Return the module with the groups where several ranks exchange what lies on the CPU by gloo.

    Raises:
        _Refused: They don't.
    """
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() < 2:
        raise _Refused("there is one process: nothing is exchanged")
    if distributed.get_world_size() > _MOST_RANKS:
        raise _Refused(f"connecting more than {_MOST_RANKS} ranks takes too long")
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        raise _Refused("the ranks compute on devices, whose links the host can't time")
    c10d = distributed.distributed_c10d
    try:
        backend = c10d._get_default_group()._get_backend(torch.device("cpu")).name()
    except RuntimeError:
        backend = "none for the CPU"
    if backend != "gloo":
        raise _Refused(f"the link of a backend ({backend}) other than gloo is not measured")
    return c10d


def _all_come(store: Any, rank: int, world: int) -> bool:
    """Return whether all ranks are here; rank 0 decides, so that all say the same."""
    store.add("here", 1)
    if rank:
        return _until(lambda: store.check(["go"]), _COME_S + 1) and store.get("go") == b"1"
    came = _until(lambda: store.add("here", 0) >= world, _COME_S)
    store.set("go", "1" if came else "0")
    return came


def _leave_together(store: Any, rank: int, world: int) -> None:
    """Wait until no rank needs the group any more: one that closes early would break the others' last call."""
    store.add("done", 1)
    _until(lambda: store.add("done", 0) >= world, 1.0)
    if rank == 0:
        time.sleep(_LINGER_S)


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether ``condition`` becomes true in so many seconds."""
    latest = now() + int(seconds * 1e9)
    while not condition():
        if now() > latest:
            return False
        time.sleep(_POLL_S)
    return True


def _reduce(torch: Any, group: Any, largest: Any, budget_s: float) -> tuple[list[int], list[list[int]]]:
    """Return the sizes measured and the microseconds of the calls of each, the first call left out.

    After each size the ranks agree on the longest time any of them has taken, so that all go on with as many calls
    and stop at the same size.
    """
    sizes: list[int] = []
    times: list[list[int]] = []
    begin, budget_ns, calls = now(), budget_s * 1e9, _LEAST
    for size in _SIZES:
        tensor = torch.zeros(size // 4, dtype=torch.float32, device="cpu")
        _call(group, [tensor])
        taken = [_call(group, [tensor]) for _ in range(calls)]
        sizes.append(size)
        times.append([one // 1000 for one in taken])
        spent = torch.tensor([now() - begin, sum(taken) / calls], dtype=torch.float64, device="cpu")
        group.allreduce([spent], largest).wait()
        so_far, mean = spent.tolist()
        following = max(1.0, 4 * mean)  # the next size is four times as large
        if so_far + _LEAST * following > budget_ns:
            break
        calls = int(min(_MOST, max(_LEAST, budget_ns / len(_SIZES) / following)))
    return sizes, times


def _call(group: Any, tensors: list[Any]) -> int:
    """Return the ns of one reduction."""
    start = now()
    group.allreduce(tensors).wait()
    return now() - start
