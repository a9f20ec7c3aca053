"""Where calls are made again: the tensors they need, the memory and time that are left, and the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .variants import Call, Tensor

_MOST_BYTES = 1 << 30  # of all operands of all variants together
_MEMORY_PART = 0.25  # of what is free
_PROBES = 60
_SLEEP_CYCLES = (
    60_000  # of the device for each call of a pass, some 30 us: the host is ahead while they are timed
)


class Stage:
    """One device for some seconds."""

    def __init__(self, torch: Any, device: str, seconds: float) -> None:
        """Let everything end ``seconds`` from now."""
        self.torch, self.device = torch, device
        self.end = time.perf_counter() + seconds
        self.bytes_left = min(_MOST_BYTES, int(_MEMORY_PART * _free(torch, device)))

    def remaining(self) -> float:
        """Return seconds until the end."""
        return self.end - time.perf_counter()

    def tensor(self, kind: Tensor) -> Any:
        """Return a tensor of this kind; values between a half and one and a half suit every operator.

        Raises:
            MemoryError: It does not fit into what is left.
        """
        torch, dtype = self.torch, getattr(self.torch, kind["d"])
        extent = 1 + sum((n - 1) * s for n, s in zip(kind["t"], kind["s"]))  # noqa: B905
        count = extent if all(kind["t"]) else 0
        self.bytes_left -= count * torch.empty((), dtype=dtype).element_size()
        if self.bytes_left < 0:
            raise MemoryError("the operands do not fit")
        flat = torch.empty(count, dtype=dtype, device=self.device)
        if dtype.is_floating_point:
            flat.uniform_(0.5, 1.5)
        else:
            flat.fill_(1 if dtype is torch.bool else 0)
        return flat.as_strided(kind["t"], kind["s"])

    def ready(self, call: Call) -> Callable[[], Any]:
        """Return what makes this call on tensors of its own."""
        operator = getattr(getattr(self.torch.ops.aten, call["op"]), call["overload"])
        args = self._built(call["args"])
        kwargs = {name: self._built(value) for name, value in call["kwargs"].items()}
        if call.get("cast"):
            places = [i for i, one in enumerate(call["args"]) if isinstance(one, dict) and one.get("w")]
            return partial(self._cast, operator, args, kwargs, {i: args[i].float() for i in places})
        if "back" in call:
            return partial(_cast_back, operator, args, kwargs, call["back"])
        if self.device == "cuda":
            return partial(self._flagged, operator, args, kwargs, bool(call["tf32"]))
        return partial(operator, *args, **kwargs)

    def _built(self, value: Any) -> Any:
        """Return an argument with real tensors."""
        if isinstance(value, list):
            return [self._built(one) for one in value]
        if isinstance(value, dict):
            return getattr(self.torch, value["dtype"]) if "dtype" in value else self.tensor(value)
        return value

    def _cast(self, operator: Any, args: list[Any], kwargs: Any, weights: dict[int, Any]) -> Any:
        """Cast the weights and call."""
        for place, weight in weights.items():
            args[place] = weight.to(self.torch.bfloat16)
        return operator(*args, **kwargs)

    def _flagged(self, operator: Any, args: list[Any], kwargs: Any, tf32: bool) -> Any:
        """Call with TF32 allowed or not."""
        self.torch.backends.cuda.matmul.allow_tf32 = tf32
        return operator(*args, **kwargs)

    def times(self, calls: Sequence[Callable[[], Any]]) -> list[int]:
        """Return how long each call takes, one after the other (ns)."""
        if self.device == "cuda":
            return self._device_times(calls)
        found, clock = [], time.perf_counter_ns
        for call in calls:
            start = clock()
            call()
            found.append(clock() - start)
        return found

    def _device_times(self, calls: Sequence[Callable[[], Any]]) -> list[int]:
        """Return how long the device needs for each call, the host being ahead of it."""
        cuda = self.torch.cuda
        edges = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in calls]
        cuda.synchronize()
        if hasattr(cuda, "_sleep"):
            cuda._sleep(_SLEEP_CYCLES * len(calls))
        for call, (before, after) in zip(calls, edges):  # noqa: B905
            before.record()
            call()
            after.record()
        cuda.synchronize()
        return [int(before.elapsed_time(after) * 1e6) for before, after in edges]

    def wall_times(self, calls: Sequence[Callable[[], Any]]) -> list[int]:
        """Return how long host and device together take for each call (ns)."""
        found = []
        for call in calls:
            self._wait()
            start = time.perf_counter_ns()
            call()
            self._wait()
            found.append(time.perf_counter_ns() - start)
        return found

    def _wait(self) -> None:
        """Wait until the device has done its work."""
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def floor(self) -> int:
        """Return what is timed of a call that does next to nothing (ns, median)."""
        one = self.torch.ones(())
        nothing = partial(self.torch.ops.aten.mul.Tensor, one, one) if self.device == "cpu" else lambda: None
        return sorted(self.times([nothing] * _PROBES))[_PROBES // 2]


def _cast_back(operator: Any, args: list[Any], kwargs: Any, place: int) -> Any:
    """Call, and cast the gradient of a weight to float32: the result in this place, -1 for the only one."""
    result = operator(*args, **kwargs)
    gradient = result if place < 0 else result[place]
    return None if gradient is None else gradient.float()


def _free(torch: Any, device: str) -> int:
    """Return the free bytes of the device's memory."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 4 * _MOST_BYTES
