"""What the memory of a training holds: weights, gradients, optimizer state; on CUDA also what the allocator says."""

from __future__ import annotations

from typing import Any

_STATISTICS = {
    "peak_bytes": "allocated_bytes.all.peak",
    "allocated_bytes": "allocated_bytes.all.current",
    "reserved_bytes": "reserved_bytes.all.peak",
    "inactive_bytes": "inactive_split_bytes.all.current",
    "retries": "num_alloc_retries",
    "out_of_memory": "num_ooms",
}


def split(torch: Any, optimizers: Any) -> dict[str, Any]:
    """Return bytes by what they are for, of all tensors that ``optimizers`` (a mapping by optimizer) know."""
    weights: dict[int, Any] = {}
    state = 0
    for optimizer in list(optimizers):
        for group in optimizer.param_groups:
            weights.update((id(tensor), tensor) for tensor in group["params"])
        for entry in optimizer.state.values():
            if isinstance(entry, dict):
                state += sum(_bytes(value) for value in entry.values() if isinstance(value, torch.Tensor))
    gradients = sum(_bytes(tensor.grad) for tensor in weights.values() if tensor.grad is not None)
    found: dict[str, Any] = {
        "weights_bytes": sum(map(_bytes, weights.values())),
        "gradients_bytes": gradients,
        "optimizer_bytes": state,
    }
    return found | _allocator(torch)


def _bytes(tensor: Any) -> int:
    """Return the bytes of a tensor's elements."""
    return int(tensor.numel()) * int(tensor.element_size())


def _allocator(torch: Any) -> dict[str, Any]:
    """Return what CUDA's caching allocator counts, summed up over the script's life; nothing without CUDA."""
    if not (torch.cuda.is_available() and torch.cuda.is_initialized()):
        return {}
    counted = torch.cuda.memory_stats()
    found: dict[str, Any] = {name: int(counted.get(key, 0)) for name, key in _STATISTICS.items()}
    free, total = torch.cuda.mem_get_info()
    return found | {"free_bytes": int(free), "total_bytes": int(total)}
