"""What profilers call things: categories and names of torch.profiler since 2021, on CUDA, ROCm and CPU."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import IntEnum

from ..model.device import Work
from ..model.span import Kind


class Category(IntEnum):
    """What an event is about."""

    SKIPPED = 0
    HOST = 1  # an operator on a host thread
    ANNOTATION = 2  # a name put around something by torch, a framework or the user (record_function)
    RUNTIME = 3  # a call of the host into the device's runtime or driver
    DEVICE = 4  # a kernel, a copy, a fill


# Kineto's names, as written (2021: capitalised). `python_function` is skipped: those are most of a trace with
# stacks and lie inside or around the operators we read. `gpu_user_annotation` and `cuda_sync` repeat the host's.
_CATEGORIES: Mapping[str, Category] = {
    "cpu_op": Category.HOST,
    "operator": Category.HOST,
    "user_annotation": Category.ANNOTATION,
    "cuda_runtime": Category.RUNTIME,
    "cuda_driver": Category.RUNTIME,
    "hip_runtime": Category.RUNTIME,
    "xpu_runtime": Category.RUNTIME,
    "xpu_driver": Category.RUNTIME,
    "mtia_runtime": Category.RUNTIME,
    "privateuse1_runtime": Category.RUNTIME,
    "privateuse1_driver": Category.RUNTIME,
    "runtime": Category.RUNTIME,
    "kernel": Category.DEVICE,
    "gpu_memcpy": Category.DEVICE,
    "gpu_memset": Category.DEVICE,
    "memcpy": Category.DEVICE,
    "memset": Category.DEVICE,
}

# The first word of a communication kernel: NCCL, AMD's RCCL (kernels keep NCCL's name or this), Microsoft's, Intel's.
_COLLECTIVES = re.compile(r"(nccl|rccl|msccl|oneccl|ccl_|hccl)", re.IGNORECASE)
_STEP = re.compile(r"ProfilerStep#?\s*\d*")
_AUTOGRAD = re.compile(r"autograd::engine::evaluate_function|torch::autograd::|\w*Backward\d*(\s|$)")
_SYNCS = re.compile(r"(cuda|hip|cu|xpu)\w*(Synchronize|_synchronize)\w*$|(cuda|hip|cu)Memcpy(2D|DtoH|HtoD)?$")
_BLOCKING_COPY = re.compile(r"(cuda|hip)Memcpy(With|Async)")
_RANK = re.compile(r"(?:^|[^a-z])rank[_\-.]?(\d{1,6})", re.IGNORECASE)
_COPY_OPERATORS = frozenset(("aten::to", "aten::_to_copy", "aten::copy_"))
_ANNOTATIONS: Mapping[str, Kind] = {
    "forward": Kind.FORWARD,
    "backward": Kind.BACKWARD,
    "optimizer": Kind.OPTIMIZER,
    "optimizer_step": Kind.OPTIMIZER,
    "zero_grad": Kind.ZERO_GRAD,
    "data_load": Kind.NEXT,
    "next_batch": Kind.NEXT,
    "dataloader": Kind.NEXT,
    "data_loading": Kind.NEXT,
    "copy_batch_to_gpu": Kind.TRANSFER,
}


def category(name: object) -> Category:
    """Return what an event's ``cat`` says it is."""
    return _CATEGORIES.get(name.lower(), Category.SKIPPED) if isinstance(name, str) else Category.SKIPPED


def is_step(name: str) -> bool:
    """Return whether ``name`` is the mark that ``profile.step()`` leaves around a step."""
    return _STEP.fullmatch(name) is not None


def host_kind(name: str) -> Kind | None:
    """Return what an operator or annotation of this name tells of the loop, None for any other.

    Names that torch itself gives come first; then annotations of TorchRec and of people who name their phases
    (``record_function("## forward ##")``), and those of Lightning.
    """
    if name.startswith("enumerate(DataLoader)#") or name.endswith("].train_dataloader_next"):
        return Kind.NEXT
    if name.startswith("Optimizer.step#"):
        return Kind.OPTIMIZER
    if name.startswith("Optimizer.zero_grad#"):
        return Kind.ZERO_GRAD
    return _ANNOTATIONS.get(name.strip("# ").lower().replace(" ", "_"))


def is_autograd(name: str) -> bool:
    """Return whether ``name`` is a node of a backward graph at work."""
    return _AUTOGRAD.match(name) is not None


def is_copy_operator(name: str) -> bool:
    """Return whether ``name`` is an operator that moves a tensor."""
    return name in _COPY_OPERATORS


def is_sync(name: str) -> bool:
    """Return whether a runtime call of this name returns only after the device is done."""
    return _SYNCS.match(name) is not None


def is_copy_call(name: str) -> bool:
    """Return whether a runtime call of this name copies, and blocks where host memory is not pinned."""
    return _BLOCKING_COPY.match(name) is not None


def is_launch(name: str) -> bool:
    """Return whether a runtime call of this name asks the device for work."""
    return "Launch" in name or "Memcpy" in name or "Memset" in name


def is_gloo(name: str) -> bool:
    """Return whether ``name`` is a collective that Gloo runs on the CPU."""
    return name.startswith("gloo:")


def work_kind(name: str) -> Work:
    """Return what kind of work a device event of this name is; the names of copies are CUPTI's and ROCm's."""
    if name.startswith("Memset"):
        return Work.FILL
    if name.startswith(("Memcpy", "Copy")):
        if "HtoD" in name or "HostToDevice" in name:
            return Work.COPY_IN
        return Work.COPY_OUT if "DtoH" in name or "DeviceToHost" in name else Work.COPY_WITHIN
    return Work.COMMUNICATION if _COLLECTIVES.match(name) else Work.COMPUTE


def pageable(name: str) -> int:
    """Return 1 where a copy's name says pageable memory took part, 0 where it says pinned, else -1."""
    return 1 if "Pageable" in name else 0 if "Pinned" in name else -1


def loader_workers(name: str) -> int | None:
    """Return 0 where a fetch of this name makes its batch itself, None where it has workers or does not tell."""
    return 0 if "_SingleProcessDataLoaderIter" in name else None


def rank_in(name: str) -> int | None:
    """Return the rank that a file's name tells: ``rank_3``, ``rank3.json``, ``trace-rank-3``; None without one."""
    found = _RANK.search(name)
    return int(found.group(1)) if found else None
