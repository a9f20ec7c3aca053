"""Computes in bfloat16 where it is safe: from the call of a root to the backward pass, so that losses are covered."""

from __future__ import annotations

from _thread import get_ident
from typing import Any

from ..hooks import Hooks, dress
from .around import AroundRoots
from .backward import on_backward
from .base import Refused, Tell
from .nested import change
from .wrapped import device_of


class Autocast(AroundRoots):
    """Enters autocast at the call of a root that trains and leaves it when its backward pass begins.

    A call that doesn't train is covered alone. Results leave a root in float32, as losses want them and NumPy knows no
    bfloat16.
    """

    name = "autocast"
    known = ("bf16",)
    around = True

    def check(self) -> None:
        """Refuse float16. May raise ``Refused``."""
        if self.switch("bf16") is False:
            raise Refused("float16 needs a GradScaler around backward and step: an edit of the script")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Wait for the first root, and notice what the script does about precision itself."""
        super().install(torch, hooks, tell)
        self.open: Any = None  # the context under way
        self.thread, self.kind = 0, ""
        self.due = False  # it should be off by now
        self.own = ""  # what the script does itself
        hooks.on_undo(self._close)
        on_backward(torch, hooks, self._close)
        self._notice_scaler()
        self._notice_autocast()
        self._shield_loss()

    def first(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse where it does not fit. May raise ``Refused``."""
        kind = device_of(module).type
        reason = self._objection(module, kind) or lacks_bfloat16(self.torch, kind)
        if reason:
            raise Refused(reason)

    def settled(self, module: Any) -> None:
        """Tell of the change."""
        if self.own:
            raise Refused(self.own)
        self.tell.applied(f"{type(module).__name__} and the loss run under bfloat16 autocast")

    def before(
        self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Enter autocast unless it is still on. May raise ``Refused``."""
        kind = device_of(module).type
        if self.open is not None and self._trains(module) and not self.due:
            self.torch.clear_autocast_cache()  # weights may have been loaded since the last call
        else:
            self._close()
            reason = self._objection(module, kind)
            if reason:
                raise Refused(reason)
            self._enter(kind)
        return args, kwargs

    def after(self, module: Any, result: Any) -> Any:
        """Return the outputs in float32."""
        return change(result, self.torch.Tensor, self._widen)

    def leave(self, module: Any, done: bool) -> None:
        """Stay under autocast for the loss, where there will be a backward pass."""
        if not done or self.own or not self._trains(module):
            self._close()

    def undo(self, module: Any) -> None:
        """Leave autocast."""
        self._close()

    def _objection(self, module: Any, kind: str) -> str:
        """Return why this call should not run under autocast, or nothing."""
        if self.own:
            return self.own
        if self.open is None and self.torch.is_autocast_enabled(kind):
            return "the script runs under autocast already"
        if all(one.element_size() <= 2 for one in module.parameters() if one.is_floating_point()):
            return "the parameters are 16 bit already"
        return ""

    def _trains(self, module: Any) -> bool:
        """Return whether a backward pass is to be expected."""
        return bool(module.training and self.torch.is_grad_enabled())

    def _enter(self, kind: str) -> None:
        """Turn autocast on for this thread."""
        context = self.torch.autocast(kind, dtype=self.torch.bfloat16)
        # First, so that the script's contexts can be told from it.
        self.open, self.thread, self.kind, self.due = context, get_ident(), kind, False
        context.__enter__()

    def _close(self) -> None:
        """Turn autocast off where it is on.

        Inside of a context of somebody else's that turns it off for a while, and in a backward pass of another
        thread, that is left to the next occasion: contexts end in the order in which they began.
        """
        if self.open is None:
            return
        self.due = True
        if self.thread == get_ident() and self.torch.is_autocast_enabled(self.kind):
            context, self.open = self.open, None
            context.__exit__(None, None, None)

    def _notice_scaler(self) -> None:
        """Note a GradScaler: mixed precision is in use."""
        scaler = self.torch.amp.GradScaler
        original = scaler.__init__

        def __init__(scaler: Any, *args: Any, **kwargs: Any) -> None:
            original(scaler, *args, **kwargs)
            if getattr(scaler, "_enabled", False):
                self.own = "the script uses a GradScaler, so mixed precision"

        self.hooks.patch(scaler, "__init__", dress(__init__, original))

    def _notice_autocast(self) -> None:
        """Note an autocast of the script's own, outside of backward, where checkpoints bring back ours."""
        owner = self.torch.amp.autocast_mode.autocast
        original, graph_task = owner.__enter__, self.torch._C._current_graph_task_id

        def __enter__(context: Any) -> Any:
            if context is not self.open and getattr(context, "_enabled", False) and graph_task() == -1:
                self.own = "the script runs under autocast already"
            return original(context)

        self.hooks.patch(owner, "__enter__", dress(__enter__, original))

    def _shield_loss(self) -> None:
        """Run binary_cross_entropy without autocast, which refuses it; what it is given here is float32."""
        functional = self.torch.nn.functional
        original = functional.binary_cross_entropy

        def binary_cross_entropy(input: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
            if self.open is None:
                return original(input, target, *args, **kwargs)
            with self.torch.autocast(input.device.type, enabled=False):
                return original(self._widen(input), target, *args, **kwargs)

        self.hooks.patch(functional, "binary_cross_entropy", dress(binary_cross_entropy, original))

    def _widen(self, tensor: Any) -> Any:
        """Return a bfloat16 tensor in float32, any other as it is."""
        return tensor.float() if tensor.dtype == self.torch.bfloat16 else tensor


def lacks_bfloat16(torch: Any, kind: str) -> str:
    """Return why bfloat16 gains nothing on devices of this kind, or nothing."""
    if kind == "cuda":
        if torch.version.cuda and torch.cuda.get_device_capability() < (8, 0):  # Ampere; below it is emulated
            return "this GPU has no bfloat16 (compute capability below 8.0)"
        return ""
    if kind == "cpu":
        try:
            supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        except (AttributeError, RuntimeError):
            supported = False
        return "" if supported else "this CPU has no instructions that make bfloat16 fast"
    return f"autocast was not tried on {kind}"
