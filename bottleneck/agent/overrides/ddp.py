"""Sets up DistributedDataParallel otherwise than the script does."""

from __future__ import annotations

import inspect
import weakref
from typing import Any

from ..hooks import Hooks, dress
from .base import Override, Refused, Tell


class Ddp(Override):
    """Changes arguments of the constructor, and registers a hook that exchanges gradients in 16 bit.

    The hook is registered at the first training call, so that one of the script's own comes first and stays.
    """

    name = "ddp"
    known = ("bucket_cap_mb", "gradient_as_bucket_view", "static_graph", "fp16_hook", "bf16_hook")

    def check(self) -> None:
        """Look at the settings. May raise ``Refused``."""
        wanted = {
            "bucket_cap_mb": self.whole("bucket_cap_mb", 1),
            "gradient_as_bucket_view": self.switch("gradient_as_bucket_view"),
            "static_graph": self.switch("static_graph"),
        }
        self.wanted = {name: value for name, value in wanted.items() if value is not None}
        hooks = [name for name in ("fp16", "bf16") if self.switch(name + "_hook")]
        if len(hooks) > 1:
            raise Refused("ddp: only one of fp16_hook and bf16_hook can be registered")
        self.hook = hooks[0] if hooks else ""

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Patch constructor and forward. May raise ``Refused``."""
        if not torch.distributed.is_available():
            raise Refused("this torch has no torch.distributed")
        self.torch, self.hooks, self.tell = torch, hooks, tell
        owner = self.owner = torch.nn.parallel.DistributedDataParallel
        original = owner.__init__
        signature = inspect.signature(original)
        self.waiting: weakref.WeakSet[Any] = weakref.WeakSet()

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            given = tell.attempt(lambda: self._arguments(signature, self_, args, kwargs), (args, kwargs))
            original(self_, *given[0], **given[1])
            if self.hook:
                tell.attempt(lambda: self._wait(self_), None)

        hooks.patch(owner, "__init__", dress(__init__, original))

    def _arguments(
        self, signature: inspect.Signature, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the constructor's arguments with ours. May raise ``Refused``."""
        bound = signature.bind(module, *args, **kwargs)
        bound.apply_defaults()
        changed = {}
        for name, value in self.wanted.items():
            if bound.arguments.get(name) == value:
                self.tell.refused(f"{name} is {value} already")
            else:
                changed[name] = value
        if changed.get("static_graph") and getattr(
            bound.arguments["module"], "is_gradient_checkpointing", False
        ):
            changed.pop("static_graph")
            self.tell.refused("static_graph: the model computes activations again, in another order")
        if not changed:
            return args, kwargs
        self.tell.applied(", ".join(f"{name}={value}" for name, value in changed.items()))
        bound.arguments.update(changed)
        return bound.args[1:], bound.kwargs

    def _wait(self, module: Any) -> None:
        """Register the hook at the first training call of ``module``. May raise ``Refused``."""
        if not self.waiting:
            self._patch_forward()
        self.waiting.add(module)

    def _patch_forward(self) -> None:
        """Look at each call until every module has its hook."""
        original = self.owner.forward

        def forward(module: Any, *args: Any, **kwargs: Any) -> Any:
            if module in self.waiting and module.training and self.torch.is_grad_enabled():
                self.waiting.discard(module)
                self.tell.attempt(lambda: self._register(module), None)
                if not self.waiting:
                    self.owner.forward = original
            return original(module, *args, **kwargs)

        self.hooks.patch(self.owner, "forward", dress(forward, original))

    def _register(self, module: Any) -> None:
        """Register the hook. May raise ``Refused``."""
        from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

        if module._comm_hooks:
            raise Refused("the script registers a communication hook itself, and DDP takes one")
        dtype = self.torch.bfloat16 if self.hook == "bf16" else self.torch.float16
        if any(one.dtype != self.torch.float32 for one in module.parameters() if one.requires_grad):
            raise Refused("the gradients are not float32")
        self._probe(module, dtype)
        hook = getattr(default_hooks, self.hook + "_compress_hook")
        try:
            module.register_comm_hook(None, hook)
        except (TypeError, ValueError, RuntimeError) as error:  # bfloat16 without CUDA 11 and NCCL 2.10
            raise Refused(f"DDP does not take the hook: {error}") from None
        self.tell.applied(f"gradients are exchanged by {self.hook}_compress_hook")

    def _probe(self, module: Any, dtype: Any) -> None:
        """Exchange one number of that type, as all ranks do now. Raises ``Refused`` where the backend can't."""
        device = next(one.device for one in module.parameters() if one.requires_grad)
        try:
            self.torch.distributed.all_reduce(
                self.torch.zeros(1, dtype=dtype, device=device), group=module.process_group
            )
        except (RuntimeError, TypeError) as error:
            raise Refused(f"the backend does not exchange {dtype}: {str(error).splitlines()[0]}") from None
