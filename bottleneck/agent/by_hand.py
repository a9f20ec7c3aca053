"""Finds the boundaries of steps where no optimizer of torch steps: parameters are updated by hand, or compiled.

Such a step ends with its backward pass, the last thing in it that can be seen from outside. Until an optimizer steps
for the first time this asks after each pass, and costs some 0.1 us; then it is gone.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from . import facts, model_calls
from .recorder import Recorder

# Passes after which an optimizer is not waited for any more: gradients are hardly accumulated over so many batches,
# and the command, which measures thirty steps and eight seconds first, asks for nothing earlier.
_SURE = 32


class ByHand:
    """Counts backward passes while no optimizer steps.

    Attributes:
        passes: Their number.
        anomaly: Whether anomaly detection was on in one.
    """

    def __init__(self, torch: Any, recorder: Recorder, steps: Callable[[], int]) -> None:
        """Go by ``steps()``, the steps of torch's optimizers so far."""
        self.torch = torch
        self.recorder = recorder
        self.steps = steps
        self.passes = 0
        self.anomaly = False
        self.boundary: Callable[[], None] = lambda: None
        self._model: Callable[[], Any] = lambda: None

    def install(self, boundary: Callable[[], None]) -> None:
        """Call ``boundary()`` after each pass, once it is sure that these end the steps."""
        self.boundary = boundary
        self._task: Callable[[], int] = (
            self.torch._C._current_graph_task_id
        )  # where torch lacks it, this stays off
        model_calls.after_backward(self._passed)

    def follow(self, model: Any) -> None:
        """Take ``model``, the first module called, for the one whose parameters are updated."""
        self._model = weakref.ref(model)

    def updates(self) -> int:
        """Return the steps of this process so far."""
        return self.steps() + (self.passes if self.passes >= _SURE else 0)

    def _passed(self) -> None:
        """Count a pass that has ended; ``boundary`` may end the run here, as Ctrl-C would."""
        if self.steps():
            model_calls.after_backward(None)
            return
        if self._task() != -1:  # inside another pass: a checkpoint computes again
            return
        self.passes += 1
        self.anomaly = self.anomaly or self.torch._C.is_anomaly_enabled()
        if self.passes == _SURE:
            self._tell()
        if self.passes >= _SURE:
            self.boundary()

    def _tell(self) -> None:
        """Tell what is known of the update."""
        try:
            facts.tell_torch(self.torch, self.recorder, self.anomaly)
            facts.tell_updated(self._model(), self.recorder)
        except Exception as error:
            self.recorder.failed("by_hand", error)
