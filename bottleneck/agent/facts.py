"""Tells what kind of training this is: model, optimizers, settings that change speed. Each once, nothing per step."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

from . import kinds
from .recorder import Recorder, now

_RANK_VARIABLES = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "GROUP_RANK",
    "NODE_RANK",
    "TORCHELASTIC_RESTART_COUNT",
    "TORCHELASTIC_RUN_ID",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "SLURM_NTASKS",
    "SLURM_NODEID",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK",
    "PMI_SIZE",
)
_MAX_MODULES = 20_000


def header(torch: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Return what every process tells first: who it is, both clocks, versions."""
    return {
        "format": 1,
        "pid": os.getpid(),
        "ppid": os.getppid(),
        "maker": _maker(),
        "host": os.uname().nodename if hasattr(os, "uname") else "",
        "monotonic_ns": now(),
        "wall_ns": time.time_ns(),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "torch": str(torch.__version__),
        "cuda": str(torch.version.cuda or ""),
        "ranks": {name: os.environ[name] for name in _RANK_VARIABLES if name in os.environ},
        "torch_import_ns": config.get("torch_import_ns"),
        "boot_ns": config.get("boot_ns"),
        "span_cost_ns": config.get("span_cost_ns"),
    }


def _maker() -> int | None:
    """Return the id of the process that asked multiprocessing for this one; a fork server is the parent otherwise."""
    module: Any = sys.modules.get("multiprocessing.process")
    parent = module.parent_process() if module is not None else None
    return None if parent is None else parent.pid


def tell_torch(torch: Any, recorder: Recorder, anomaly: bool) -> None:
    """Write settings of torch and of the interpreter that change speed; read late, so after the script set them.

    ``anomaly`` is whether anomaly detection was on in a backward pass: it may be on inside ``with`` only.
    """
    backends = torch.backends
    recorder.event(
        "torch",
        threads=torch.get_num_threads(),
        interop_threads=torch.get_num_interop_threads(),
        matmul_precision=torch.get_float32_matmul_precision(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        cudnn_benchmark=bool(backends.cudnn.benchmark),
        anomaly=anomaly or torch._C.is_anomaly_enabled(),
        default_dtype=str(torch.get_default_dtype()),
        gc_threshold=gc.get_threshold()[0] if gc.isenabled() else 0,
    )


def tell_model(model: Any, recorder: Recorder) -> None:
    """Write class, module counts and device of the first module that was called."""
    start = now()
    classes: dict[str, int] = {}
    for number, module in enumerate(model.modules()):
        if number >= _MAX_MODULES:
            break
        name = type(module).__name__
        classes[name] = classes.get(name, 0) + 1
    common = sorted(classes.items(), key=lambda item: -item[1])[:60]
    recorder.event("model", name=type(model).__name__, modules=sum(classes.values()), classes=dict(common))
    recorder.span(kinds.PAUSE, start, now())


def tell_optimizer(optimizer: Any, number: int, recorder: Recorder) -> None:
    """Write class, size, dtype, device and implementation of an optimizer at its first step."""
    start = now()
    if number > 64:
        return
    first = optimizer.param_groups[0] if optimizer.param_groups else {}
    recorder.event(
        "optimizer",
        number=number,
        name=type(optimizer).__name__,
        groups=len(optimizer.param_groups),
        **_sizes(tensor for group in optimizer.param_groups for tensor in group["params"]),
        fused=first.get("fused"),
        foreach=first.get("foreach"),
    )
    recorder.span(kinds.PAUSE, start, now())


def tell_updated(model: Any, recorder: Recorder) -> None:
    """Write what is updated where no optimizer does it: the parameters of ``model`` that want gradients."""
    if model is None:
        return
    start = now()
    recorder.event("by_hand", **_sizes(one for one in model.parameters() if one.requires_grad))
    recorder.span(kinds.PAUSE, start, now())


def _sizes(updated: Iterable[Any]) -> dict[str, Any]:
    """Return numbers, bytes, dtypes and devices of parameters."""
    tensors = parameters = size = 0
    dtypes: set[str] = set()
    devices: set[str] = set()
    for tensor in updated:
        tensors += 1
        parameters += tensor.numel()
        size += tensor.numel() * tensor.element_size()
        dtypes.add(str(tensor.dtype))
        devices.add(tensor.device.type)
    return {
        "tensors": tensors,
        "parameters": parameters,
        "bytes": size,
        "dtypes": sorted(dtypes),
        "devices": sorted(devices),
    }
