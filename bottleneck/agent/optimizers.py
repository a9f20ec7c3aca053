"""Times optimizer steps, zero_grad and the gradient scaler, and ends the run at a step's boundary."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

from . import dynamo, kinds
from .hooks import Hooks, dress
from .late import LATE, give_back
from .recorder import Recorder, now

_frame = sys._getframe


class _Outermost(threading.local):
    """Optimizers nest (wrappers, subclasses calling super().step()): only the outermost counts."""

    frame = 0  # id of the frame that runs the outermost step, 0 outside of one
    start = 0


def _is_running(frame: int) -> bool:
    """Return whether the frame with this id is below us: a step that raised never reaches its post hook."""
    below = sys._getframe(3)
    while below is not None:
        if id(below) == frame:
            return True
        below = below.f_back  # type: ignore[assignment]
    return False


class Optimizers:
    """The hooks on optimizers, and the number each optimizer object has in this record."""

    def __init__(
        self, torch: Any, recorder: Recorder, on_new: Callable[[Any, int], None], boundary: Callable[[], None]
    ) -> None:
        """Tell ``on_new(optimizer, number)`` once per optimizer and ``boundary()`` after each step."""
        self.torch = torch
        self.recorder = recorder
        self.on_new = on_new
        self.boundary = boundary
        self.outermost = _Outermost()
        self._is_compiling: Callable[[], bool] = lambda: False
        self.steps = 0
        self.numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._nobody: Callable[[], Any] = lambda: self  # never equal to an optimizer
        self._last: Callable[[], Any] = self._nobody
        self._last_number = self._last_name = 0
        self.count = 0

    def install(self, hooks: Hooks) -> None:
        """Register the global step hooks and patch zero_grad and GradScaler."""
        self._is_compiling = dynamo.is_compiling(self.torch)  # where torch lacks it, this hook stays off
        module = sys.modules["torch.optim.optimizer"]  # torch.optim deletes the attribute
        hooks.on_undo(module.register_optimizer_step_pre_hook(self._before).remove)
        hooks.on_undo(module.register_optimizer_step_post_hook(self._after).remove)
        self._install_scaler(hooks)

    def number(self, optimizer: Any) -> int:
        """Return the number of ``optimizer`` in this record, from 1; 0 where it can't be told apart."""
        if self._last() is optimizer:
            return self._last_number
        try:
            number = self.numbers.get(optimizer)
            if number is None:
                self.count += 1
                number = self.numbers[optimizer] = self.count
                self.on_new(optimizer, number)
            self._last, self._last_number = weakref.ref(optimizer), number
        except TypeError:  # not hashable or not weakly referable
            self._last, self._last_number = self._nobody, 0
        self._last_name = self.recorder.name(type(optimizer).__name__)
        return self._last_number

    def _before(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Note the start of an outermost step."""
        if self._is_compiling():
            return
        try:
            outermost = self.outermost
            if outermost.frame and _is_running(outermost.frame):
                return
            if self._last() is not optimizer:
                self.number(optimizer)
            outermost.frame = id(_frame(1))
            outermost.start = now()
        except Exception as error:
            self.recorder.failed("optimizer", error)

    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Record an outermost step; ``boundary`` may end the run here, as Ctrl-C would."""
        if self._is_compiling():  # before all else: Dynamo would trace the clock, and break its graph there
            return
        end, outermost = now(), self.outermost
        if outermost.frame != id(_frame(1)):
            return
        outermost.frame = 0
        self.steps += 1
        try:
            if self._last() is not optimizer:
                self.number(optimizer)
            self.recorder.span(
                kinds.OPTIMIZER, outermost.start, end, 0, self._last_name, 0, self._last_number
            )
        except Exception as error:
            self.recorder.failed("optimizer", error)
        if LATE.error is not None:
            give_back()
        self.boundary()

    def _install_scaler(self, hooks: Hooks) -> None:
        """Time GradScaler.step and update, and count the steps it skips because of infinite gradients."""
        scaler = getattr(getattr(self.torch, "amp", None), "GradScaler", None)
        if scaler is None:
            return
        step, update, recorder = scaler.step, scaler.update, self.recorder

        def timed_step(scaler: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            before, start = self.steps, now()
            result = step(scaler, optimizer, *args, **kwargs)
            recorder.span(kinds.SCALER, start, now(), 0, 0, int(self.steps == before), self.number(optimizer))
            return result

        def timed_update(scaler: Any, *args: Any, **kwargs: Any) -> Any:
            start = now()
            result = update(scaler, *args, **kwargs)
            recorder.span(kinds.SCALER, start, now(), 0, 0, 0, 0)
            return result

        hooks.patch(scaler, "step", dress(timed_step, step))
        hooks.patch(scaler, "update", dress(timed_update, update))
