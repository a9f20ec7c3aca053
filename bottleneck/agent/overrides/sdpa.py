"""Brings attention to a fused kernel: chooses among those of torch, and takes the way that leads to them."""

from __future__ import annotations

from typing import Any

from .. import dynamo
from ..hooks import Hooks, dress
from .around import AroundRoots
from .attention import Weights
from .base import Refused, Tell
from .wrapped import inside

# Our switch -> what torch calls it in torch.backends.cuda (cuDNN's came with 2.5); they hold for the CPU as well.
_FLAGS = {"flash": "flash_sdp", "efficient": "mem_efficient_sdp", "math": "math_sdp", "cudnn": "cudnn_sdp"}


class Sdpa(AroundRoots):
    """Sets the kernels that may serve at the first call of scaled_dot_product_attention.

    Models of Hugging Face that write attention out are asked for "sdpa", and attention modules for no weights where
    nobody reads them. With dropout inside attention, other elements are dropped than before.
    """

    name = "sdpa"
    known = ("flash", "efficient", "math", "cudnn")

    def check(self) -> None:
        """Look at the switches. May raise ``Refused``."""
        wanted = {name: self.switch(name) for name in self.known}
        if wanted["math"] is False:
            raise Refused("sdpa: math is the kernel that always fits; without it the script may fail")
        self.wanted = {name: value for name, value in wanted.items() if value is not None}

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Wait for a call."""
        super().install(torch, hooks, tell)
        self.seen = False
        self.switched: dict[int, Any] = {}
        self.weights = Weights(torch, hooks, tell)
        functional, is_compiling = torch.nn.functional, dynamo.is_compiling(torch)
        original = functional.scaled_dot_product_attention

        def scaled_dot_product_attention(*args: Any, **kwargs: Any) -> Any:
            if not self.seen and not is_compiling():
                self.seen = True
                tell.attempt(self._set_flags, None)
                if functional.scaled_dot_product_attention is patched:
                    functional.scaled_dot_product_attention = original
            return original(*args, **kwargs)

        patched = dress(scaled_dot_product_attention, original)
        hooks.patch(functional, "scaled_dot_product_attention", patched)

    def first(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Ask a model of Hugging Face that writes attention out for the fused kernel."""
        model = inside(self.torch, module)
        config = getattr(model, "config", None)
        if getattr(config, "_attn_implementation", None) != "eager" or not hasattr(
            model, "set_attn_implementation"
        ):
            return
        if getattr(config, "output_attentions", False) or kwargs.get("output_attentions"):
            raise Refused("the script asks for attention weights")
        self.switched[id(module)] = model
        model.set_attn_implementation("sdpa")

    def settled(self, module: Any) -> None:
        """Tell of the change. May raise ``Refused``."""
        model = self.switched.pop(id(module), None)
        if model is not None:
            self.tell.applied(f"{type(model).__name__} computes attention by scaled_dot_product_attention")
        elif not self.seen and not self.weights.used():
            raise Refused("the model calls no attention of torch")

    def undo(self, module: Any) -> None:
        """Let a model of Hugging Face write attention out again."""
        model = self.switched.pop(id(module), None)
        if model is not None:
            model.set_attn_implementation("eager")

    def _set_flags(self) -> None:
        """Allow and forbid kernels. May raise ``Refused``."""
        if not self.wanted:
            return
        cuda = self.torch.backends.cuda
        changed = []
        for name, wanted in self.wanted.items():
            is_on = getattr(cuda, _FLAGS[name] + "_enabled", None)
            if is_on is not None and bool(is_on()) != wanted:
                getattr(cuda, "enable_" + _FLAGS[name])(wanted)
                changed.append(f"{name} {'on' if wanted else 'off'}")
        if not changed:
            raise Refused("these kernels are allowed or forbidden already")
        self.tell.applied("attention kernels: " + ", ".join(changed))
