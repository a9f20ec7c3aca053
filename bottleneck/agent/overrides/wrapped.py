"""Reaches the model inside DistributedDataParallel, and the moment before it is wrapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..hooks import Hooks, dress


def before_ddp(torch: Any, hooks: Hooks, call: Callable[[Any], None]) -> None:
    """Call ``call(module)`` before DDP wraps it: DDP keeps dtype and strides of the parameters it finds."""
    if not torch.distributed.is_available():
        return
    owner = torch.nn.parallel.DistributedDataParallel
    original = owner.__init__

    def __init__(self: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        call(module)
        original(self, module, *args, **kwargs)

    hooks.patch(owner, "__init__", dress(__init__, original))


def inside(torch: Any, module: Any) -> Any:
    """Return the model that ``module`` wraps for data parallel training, or ``module`` itself."""
    while is_ddp(torch, module):
        module = module.module
    return module


def is_ddp(torch: Any, module: Any) -> bool:
    """Return whether gradients of ``module`` are exchanged by DDP."""
    return torch.distributed.is_available() and isinstance(module, torch.nn.parallel.DistributedDataParallel)


def is_sharded(module: Any) -> bool:
    """Return whether FSDP or DeepSpeed own the parameters: they may not be replaced under their hands."""
    names = {cls.__name__ for cls in type(module).__mro__}
    return bool(names & {"FullyShardedDataParallel", "FSDPModule", "DeepSpeedEngine"})


def device_of(module: Any) -> Any:
    """Return the device of the first parameter that trains."""
    return next(one.device for one in module.parameters() if one.requires_grad)
