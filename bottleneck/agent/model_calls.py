"""Times the outermost module call and the autograd engine.

The wrappers are module-level functions that reach everything through module globals: TorchDynamo follows those
without a graph break, where a closure would cost one (measured on 2.13, see ARCHITECTURE.md).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from . import dynamo, kinds
from .hooks import Hooks, dress
from .late import LATE, give_back
from .recorder import Recorder, now
from .roots import Roots


class _State(threading.local):
    """Per thread: inside a module call of ours, the making of a batch, a pass that adds to gradients."""

    inside = False
    making_batch = False
    gathers = False


STATE = _State()
_original_call: Callable[..., Any]
_original_backward: Callable[..., Any]
_is_compiling: Callable[[], bool]
_names: dict[str, int]
_module: Any  # torch.nn.Module
_roots: Roots
_is_grad_enabled: Callable[[], bool]
_recorder: Recorder
_on_first_forward: Callable[[Any], None]
_before_backward: Callable[[Any], None]
_after_backward: Callable[[], None] | None = None  # asked after each pass until an optimizer steps
_exchange: Any = None  # what times the exchange of gradients inside a backward pass, where there is one
_time_transform: Callable[..., Any]
_intercepted: Callable[..., Any] | None = None  # what a closer look has taken the place of
_seen = False


def module_call(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Call the module; record the call where no other module's call is under way in this thread."""
    if _is_compiling():
        return _original_call(self, *args, **kwargs)
    if STATE.inside:
        return (_original_call if _roots.armed else _module.__call__)(self, *args, **kwargs)
    return _timed_call(self, args, kwargs)


def _timed_call(self: Any, args: Any, kwargs: Any) -> Any:
    """Call an outermost module between two readings of the clock; in a data set, modules are transforms."""
    call = _original_call if _roots.armed else _module.__call__  # which torch.fx has patched while it traces
    if LATE.error is not None:
        give_back()
    state = STATE
    if state.making_batch:
        return _time_transform(call, self, args, kwargs)
    state.inside = True
    flags = kinds.RAISED
    start = now()
    try:
        result = call(self, *args, **kwargs)
        flags = 0
        return result
    finally:
        end = now()
        state.inside = False
        try:
            if type(self) not in _roots.classes:
                _roots.called(type(self))
            if self.training:
                flags |= kinds.TRAINING
            if _is_grad_enabled():
                flags |= kinds.GRAD
            name = type(self).__name__
            _recorder.span(kinds.FORWARD, start, end, flags, _names.get(name) or _recorder.name(name))
            if not _seen:
                _note_first(self)
        except Exception as error:
            _recorder.failed("forward", error)


def _note_first(self: Any) -> None:
    """Tell of the first module called."""
    global _seen
    _seen = True
    _on_first_forward(self)


def run_backward(t_outputs: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the autograd engine between two readings of the clock."""
    try:
        if _exchange is not None:
            _exchange.before_backward(t_outputs)
        _before_backward(t_outputs)
    except Exception as error:
        _recorder.failed("operators", error)
    raised = kinds.RAISED
    STATE.gathers = kwargs.get("accumulate_grad") is True
    start = now()
    try:
        result = _original_backward(t_outputs, *args, **kwargs)
        raised = 0
    finally:
        end = now()
        _recorder.span(kinds.BACKWARD, start, end, raised)
        if _exchange is not None:
            _end_exchange(end)
    if _after_backward is not None:
        _after_backward()
    return result


def _end_exchange(end: int) -> None:
    """Tell that the engine returned at ``end``."""
    try:
        _exchange.after_backward(end)
    except Exception as error:
        _recorder.failed("ddp", error)


def install_forward(
    torch: Any,
    hooks: Hooks,
    recorder: Recorder,
    on_first_forward: Callable[[Any], None],
    time_transform: Callable[..., Any],
) -> Roots:
    """Patch ``nn.Module.__call__``; return what moves the wrapper to the classes that are called outermost."""
    global _original_call, _is_compiling, _is_grad_enabled, _recorder, _names
    global _on_first_forward, _time_transform, _seen, _module, _roots
    _recorder, _names, _seen = recorder, recorder.names, False
    _on_first_forward, _time_transform = on_first_forward, time_transform
    _is_compiling, _is_grad_enabled = dynamo.is_compiling(torch), torch.is_grad_enabled
    _original_call = torch.nn.Module.__call__
    _module = torch.nn.Module
    _roots = Roots(_module, module_call, hooks)
    hooks.patch(_module, "__call__", dress(module_call, _original_call))
    if "_wrapped_call_impl" in vars(_module):  # the name by which a pickled class refers to the wrapper
        hooks.patch(_module, "_wrapped_call_impl", module_call)
    recorder.at_flush.append(_roots.look)
    return _roots


def intercept(wrap: Callable[[Callable[..., Any]], Callable[..., Any]] | None) -> None:
    """Put ``wrap(call)`` in place of ``nn.Module.__call__`` for every module, inner ones too; None takes it back."""
    global _original_call, _intercepted
    _roots.stay()
    if _intercepted is not None:
        _original_call, _intercepted = _intercepted, None
    if wrap is not None:
        _intercepted, _original_call = _original_call, wrap(_original_call)


def follow_exchange(exchange: Any) -> None:
    """Call ``exchange.before_backward(outputs)`` and ``exchange.after_backward(end)`` around every pass."""
    global _exchange
    _exchange = exchange


def after_backward(call: Callable[[], None] | None) -> None:
    """Make ``call()`` after each pass that raised nothing; None ends it. What it raises reaches the script."""
    global _after_backward
    _after_backward = call


def install_backward(
    torch: Any, hooks: Hooks, recorder: Recorder, before_backward: Callable[[Any], None]
) -> None:
    """Patch the engine's entry that every way into backward shares."""
    global _original_backward, _before_backward, _recorder
    _recorder, _before_backward = recorder, before_backward
    _original_backward = torch.autograd._engine_run_backward
    hooks.patch(torch.autograd, "_engine_run_backward", dress(run_backward, _original_backward))
