"""Times copies between host and device and the host's waits for the device. Only where torch has a device.

``to`` and ``cuda`` are module globals: Dynamo breaks the graph on a C method held in a closure, not in a global.
The others wait for the device, where Dynamo breaks the graph anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import kinds
from .hooks import Hooks, dress
from .recorder import Recorder, now

_recorder: Recorder
_is_compiling: Callable[[], bool]
_to: Callable[..., Any]
_cuda: Callable[..., Any]
_synchronize: Callable[..., Any]


def tensor_to(self: Any, *args: Any, **kwargs: Any) -> Any:
    """``Tensor.to``, recorded where it moves data to another device."""
    if _is_compiling():
        return _to(self, *args, **kwargs)
    start = now()
    result = _to(self, *args, **kwargs)
    if result.device != self.device:
        _record_copy(self, result, start, kwargs.get("non_blocking", False))
    return result


def tensor_cuda(self: Any, *args: Any, **kwargs: Any) -> Any:
    """``Tensor.cuda``, recorded where it moves data."""
    if _is_compiling():
        return _cuda(self, *args, **kwargs)
    start = now()
    result = _cuda(self, *args, **kwargs)
    if result.device != self.device:
        _record_copy(self, result, start, kwargs.get("non_blocking", False))
    return result


def _record_copy(source: Any, result: Any, start: int, non_blocking: bool) -> None:
    """Write one copy: host to device as a transfer, device to host as a wait for the device."""
    try:
        end = now()
        size = source.numel() * source.element_size()
        flags = kinds.NON_BLOCKING if non_blocking else 0
        if source.device.type == "cpu":
            flags |= kinds.PINNED if source.is_pinned() else 0
            _recorder.span(kinds.TRANSFER, start, end, flags, 0, size)
        else:
            _recorder.span(kinds.SYNC, start, end, flags, _recorder.name("Tensor.to"), size)
    except Exception as error:
        _recorder.failed("transfers", error)


def _waits(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return the tensor method ``original`` timed where the tensor is on a device."""

    def wait(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_compiling() or self.device.type == "cpu":
            return original(self, *args, **kwargs)
        start = now()
        result = original(self, *args, **kwargs)
        _recorder.span(kinds.SYNC, start, now(), 0, _recorder.name("Tensor." + name))
        return result

    return wait


def synchronize(*args: Any, **kwargs: Any) -> Any:
    """``torch.cuda.synchronize`` between two readings of the clock."""
    start = now()
    result = _synchronize(*args, **kwargs)
    _recorder.span(kinds.SYNC, start, now(), 0, _recorder.name("torch.cuda.synchronize"))
    return result


def has_device(torch: Any) -> bool:
    """Return whether this build of torch can use a device; asks the build, never the driver."""
    return bool(
        torch.version.cuda or getattr(torch.version, "hip", None) or getattr(torch.version, "xpu", None)
    )


def install(torch: Any, hooks: Hooks, recorder: Recorder) -> None:
    """Patch the tensor methods that copy or wait; does nothing on a build for the CPU alone."""
    global _recorder, _is_compiling, _synchronize, _to, _cuda
    if not has_device(torch):
        return
    _recorder, _is_compiling = recorder, torch.compiler.is_compiling
    _to, _cuda = torch.Tensor.to, torch.Tensor.cuda
    hooks.patch(torch.Tensor, "to", dress(tensor_to, _to))
    hooks.patch(torch.Tensor, "cuda", dress(tensor_cuda, _cuda))
    for name in ("item", "cpu", "tolist", "numpy"):
        original = getattr(torch.Tensor, name)
        hooks.patch(torch.Tensor, name, dress(_waits(name, original), original))
    _synchronize = torch.cuda.synchronize
    hooks.patch(torch.cuda, "synchronize", dress(synchronize, _synchronize))
