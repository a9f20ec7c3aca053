"""What this machine can do: rate of matrix products, bandwidth of memory, cost of the smallest operator.

Run on its own, by the interpreter that trains: ``python -c TEXT THREADS SECONDS`` prints one JSON object. It stands
alone: it imports the standard library and torch.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

_SIZES = (256, 512, 1024, 2048)  # edges of square matrices; small caches favour one, many threads another
_GPU_SIZES = (2048, 4096, 8192)
_ARRAY_BYTES = (
    128 << 20
)  # four times the last-level cache of most machines (roofline practice: at least that)
_GPU_ARRAY_BYTES = 512 << 20
_FRESH_BYTES = 32 << 20  # 8,192 pages: 20 ms
_LEAST_REPEATS = 5
_CHAIN = 200
_DTYPES = ("float32", "bfloat16", "float16", "float64")


def best_time(call: Callable[[], Any], wait: Callable[[], None], seconds: float) -> float:
    """Return the least time of ``call()`` in seconds, of at least five calls and for at most ``seconds`` more.

    The least and not the mean: a roof is what the machine can do when nothing disturbs it.
    """
    call()
    wait()
    least, end = float("inf"), time.perf_counter() + seconds
    for number in range(1_000_000):
        start = time.perf_counter()
        call()
        wait()
        least = min(least, time.perf_counter() - start)
        if time.perf_counter() > end and (number + 1 >= _LEAST_REPEATS or least > seconds):
            break
    return least


def product_rate(torch: Any, dtype: Any, device: str, seconds: float) -> float:
    """Return the best rate of a square matrix product in FLOP/s (a multiply-add is two)."""
    wait = _waiter(torch, device)
    best = 0.0
    for edge in _SIZES if device == "cpu" else _GPU_SIZES:
        a = torch.ones(edge, edge, dtype=dtype, device=device)
        b, out = torch.ones_like(a), torch.empty_like(a)
        taken = best_time(partial(torch.mm, a, b, out=out), wait, seconds / 4)
        best = max(best, 2 * edge**3 / taken)
        if taken * 8 > seconds:  # the next size takes eight times as long
            break
    return best


def bandwidth(torch: Any, device: str, seconds: float) -> float:
    """Return bytes per second of a copy and of a sum of two arrays, the better one: read and written bytes."""
    count = (_ARRAY_BYTES if device == "cpu" else _GPU_ARRAY_BYTES) // 4
    a = torch.ones(count, device=device)
    b, out = torch.ones_like(a), torch.ones_like(a)
    wait = _waiter(torch, device)
    copy = best_time(lambda: out.copy_(a), wait, seconds / 2)
    add = best_time(lambda: torch.add(a, b, out=out), wait, seconds / 2)
    return float(max(8 * count / copy, 12 * count / add))


def launch_cost(torch: Any, device: str) -> float:
    """Return the seconds the host needs for the smallest operator (median of many)."""
    value, wait = torch.ones((), device=device), _waiter(torch, device)
    taken = []
    for _ in range(15):
        wait()
        start = time.perf_counter()
        for _ in range(_CHAIN):
            value * 1.0
        taken.append((time.perf_counter() - start) / _CHAIN)
    return sorted(taken)[7]


def fault_cost() -> float | None:
    """Return the seconds until a page that was never touched can be used (least of five), None where none faults.

    The kernel finds a page, clears it and maps it. Of small pages: one fault for a huge one costs as much as 512 of
    them, and what the training meets is a mixture, of which this is the least.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    taken = []
    for _ in range(5):
        with mmap.mmap(-1, _FRESH_BYTES) as fresh:
            if hasattr(mmap, "MADV_NOHUGEPAGE"):
                with contextlib.suppress(OSError):  # a kernel that has no huge pages
                    fresh.madvise(mmap.MADV_NOHUGEPAGE)
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            first, again = (_touch(fresh) for _ in range(2))
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        if faults > 0:
            taken.append(max(0.0, first - again) / faults)
    return min(taken, default=None)


def _touch(memory: mmap.mmap) -> float:
    """Return the seconds that writing one byte into every page takes."""
    start = time.perf_counter()
    for place in range(0, _FRESH_BYTES, mmap.PAGESIZE):
        memory[place] = 1
    return time.perf_counter() - start


def _waiter(torch: Any, device: str) -> Callable[[], None]:
    """Return what waits until the device has done its work."""
    return (lambda: None) if device == "cpu" else torch.cuda.synchronize


def probe(torch: Any, device: str, seconds: float) -> dict[str, Any]:
    """Return every probe of one device; a dtype it has no products for is left out."""
    rates: dict[str, float] = {}
    each = seconds / 7
    for name in _DTYPES:
        try:
            rates[name] = product_rate(torch, getattr(torch, name), device, each)
        except RuntimeError:  # no such kernel on this device
            continue
    if device == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        rates["tf32"] = product_rate(torch, torch.float32, device, each)
        torch.backends.cuda.matmul.allow_tf32 = False
    return {
        "flops_per_s": rates,
        "bytes_per_s": bandwidth(torch, device, each),
        "launch_s": launch_cost(torch, device),
    }


def main(threads: int, seconds: float) -> dict[str, Any]:
    """Return the probes of the CPU with ``threads`` threads (0: torch's own choice), and of the GPU if any."""
    import torch

    if threads:
        torch.set_num_threads(threads)
    found: dict[str, Any] = {
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "cpu": {**probe(torch, "cpu", seconds), "fault_s": fault_cost()},
    }
    if torch.cuda.is_available():
        found["cuda"] = probe(torch, "cuda", seconds)
        found["cuda"]["name"] = torch.cuda.get_device_name()
    return found


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), float(sys.argv[2]))))
