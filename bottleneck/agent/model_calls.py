"""Times the outermost module call and the autograd engine.

The wrappers are module-level functions that reach everything through module globals: TorchDynamo follows those
without a graph break, where a closure would cost one (measured on 2.13, see ARCHITECTURE.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from . import kinds
from .hooks import Hooks, dress
from .late import LATE, give_back
from .recorder import Recorder, now


class _State(threading.local):
    """Per thread: inside a module call of ours, inside the making of a batch."""

    inside = False
    making_batch = False


STATE = _State()
_original_call: Callable[..., Any]
_original_backward: Callable[..., Any]
_is_compiling: Callable[[], bool]
_is_grad_enabled: Callable[[], bool]
_recorder: Recorder
_on_first_forward: Callable[[Any], None]
_before_backward: Callable[[Any], None]
_time_transform: Callable[..., Any]
_seen = False


def module_call(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the module; record the call where no other module's call is under way in this thread."""
    if _is_compiling() or STATE.inside:
        return _original_call(self, *args, **kwargs)
    return _timed_call(self, args, kwargs)


def _timed_call(self: Any, args: Any, kwargs: Any) -> Any:
    """Call an outermost module between two readings of the clock; in a data set, modules are transforms."""
    if LATE.error is not None:
        give_back()
    if STATE.making_batch:
        return _time_transform(_original_call, self, args, kwargs)
    STATE.inside = True
    raised = kinds.RAISED
    start = now()
    try:
        result = _original_call(self, *args, **kwargs)
        raised = 0
        return result
    finally:
        end = now()
        STATE.inside = False
        _record_call(self, start, end, raised)


def _record_call(self: Any, start: int, end: int, flags: int) -> None:
    """Write the span of one outermost call."""
    global _seen
    try:
        if self.training:
            flags |= kinds.TRAINING
        if _is_grad_enabled():
            flags |= kinds.GRAD
        _recorder.span(kinds.FORWARD, start, end, flags, _recorder.name(type(self).__name__))
        if not _seen:
            _seen = True
            _on_first_forward(self)
    except Exception as error:
        _recorder.failed("forward", error)


def run_backward(t_outputs: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the autograd engine between two readings of the clock."""
    try:
        _before_backward(t_outputs)
    except Exception as error:
        _recorder.failed("operators", error)
    raised = kinds.RAISED
    start = now()
    try:
        result = _original_backward(t_outputs, *args, **kwargs)
        raised = 0
        return result
    finally:
        _recorder.span(kinds.BACKWARD, start, now(), raised)


def install_forward(
    torch: Any,
    hooks: Hooks,
    recorder: Recorder,
    on_first_forward: Callable[[Any], None],
    time_transform: Callable[..., Any],
) -> None:
    """Patch ``nn.Module.__call__``."""
    global _original_call, _is_compiling, _is_grad_enabled, _recorder
    global _on_first_forward, _time_transform, _seen
    _recorder, _seen = recorder, False
    _on_first_forward, _time_transform = on_first_forward, time_transform
    _is_compiling, _is_grad_enabled = torch.compiler.is_compiling, torch.is_grad_enabled
    _original_call = torch.nn.Module.__call__
    hooks.patch(torch.nn.Module, "__call__", dress(module_call, _original_call))


def install_backward(
    torch: Any, hooks: Hooks, recorder: Recorder, before_backward: Callable[[Any], None]
) -> None:
    """Patch the engine's entry that every way into backward shares."""
    global _original_backward, _before_backward, _recorder
    _recorder, _before_backward = recorder, before_backward
    _original_backward = torch.autograd._engine_run_backward
    hooks.patch(torch.autograd, "_engine_run_backward", dress(run_backward, _original_backward))
