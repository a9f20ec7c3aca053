"""Writes the loss of every backward pass of a trial, so that two runs can be compared step by step.

A loss on an accelerator is read only when many are held, or at the end: reading makes the host wait.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from . import kinds
from .hooks import Hooks, dress
from .recorder import Recorder, now

_HELD = 4096  # scalars on an accelerator before they are read: one wait in thousands of steps
_as_float, _as_bits = struct.Struct("<d").pack, struct.Struct("<q").unpack


class Losses:
    """The losses that are not written yet."""

    def __init__(self, torch: Any, recorder: Recorder, steps: Callable[[], int]) -> None:
        """Write to ``recorder``, each with the ``steps()`` taken before it."""
        self.torch = torch
        self.recorder = recorder
        self.steps = steps
        self.held: list[tuple[int, int, Any]] = []

    def install(self, hooks: Hooks) -> None:
        """Patch the engine's entry that every way into backward shares."""
        original, see, recorder = self.torch.autograd._engine_run_backward, self._see, self.recorder

        def run_backward(t_outputs: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                see(t_outputs)
            except Exception as error:
                recorder.failed("losses", error)
            return original(t_outputs, *args, **kwargs)

        hooks.patch(self.torch.autograd, "_engine_run_backward", dress(run_backward, original))

    def _see(self, outputs: Any) -> None:
        """Write or keep the loss of a pass that starts from one number."""
        outputs = (outputs,) if isinstance(outputs, self.torch.Tensor) else outputs
        if len(outputs) != 1 or outputs[0].numel() != 1:
            return
        loss = outputs[0].detach()
        if loss.device.type == "cpu":
            self._write(now(), self.steps(), float(loss))
            return
        self.held.append((now(), self.steps(), loss))
        if len(self.held) >= _HELD:
            self.read()

    def read(self) -> None:
        """Write what is held; the host waits for the device once."""
        held, self.held = self.held, []
        if not held:
            return
        values = self.torch.stack([loss.double().reshape(()) for *_, loss in held]).tolist()
        for (at, steps, _), value in zip(held, values, strict=True):
            self._write(at, steps, value)

    def _write(self, at: int, steps: int, value: float) -> None:
        """Write one loss."""
        self.recorder.span(kinds.LOSS, at, at, 0, 0, _as_bits(_as_float(value))[0], steps)
