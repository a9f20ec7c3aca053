"""What to write where no known call can be edited: lines to add, and where they go."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..model.overrides import OVERRIDES
from .calls import SWITCH

Lines = tuple[str, tuple[str, ...]]  # where they go, and the lines
Settings = Mapping[str, float]

_FIRST = "in the first lines of the script, before torch is imported"
_START = "right after torch is imported"
# What transformers.TrainingArguments calls the settings; * stands for the value.
_TRAINER: Mapping[str, Mapping[str, str]] = {
    "loader": {
        name: f"dataloader_{name}=*"
        for name in ("num_workers", "prefetch_factor", "persistent_workers", "pin_memory")
    },
    "optimizer": {"fused": 'optim="adamw_torch_fused"'},
    "autocast": {"bf16": "bf16=*"},
    "matmul": {"tf32": "tf32=*"},
    "compile": {SWITCH: "torch_compile=True"},
    "checkpointing": {"off": "gradient_checkpointing=False"},
    "ddp": {"bucket_cap_mb": "ddp_bucket_cap_mb=*"},
}
_PRECISIONS = ("highest", "high", "medium")


def lines_to_add(override: str, settings: Settings) -> Lines:
    """Return the lines that make a change for good, and where they go; net and opt stand for the script's own.

    Raises:
        KeyError: There is no such override.
    """
    return _LINES[override](settings)


def in_trainer(override: str, settings: Settings) -> Lines | None:
    """Return the arguments of Hugging Face's trainer that make a change, None where it has none for it."""
    names = _TRAINER.get(override, {})
    if not names or not set(settings or {SWITCH: 1}) <= set(names):
        return None
    given = settings or {SWITCH: 1.0}
    texts = [names[name].replace("*", literal(override, name, value)) for name, value in given.items()]
    return "in the arguments of the trainer", (f"TrainingArguments(..., {', '.join(texts)})",)


def literal(override: str, setting: str, value: float) -> str:
    """Return a setting's value as Python writes it; of a setting that has no name, that it is on."""
    if setting == "reduce_overhead":
        return '"reduce-overhead"' if value else '"default"'
    known = OVERRIDES[override].settings.get(setting)
    if known is None or known.kind == "switch":
        return "True" if value else "False"
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _keywords(override: str, settings: Settings) -> str:
    """Return settings as arguments of a call."""
    return ", ".join(f"{name}={literal(override, name, value)}" for name, value in settings.items())


def _loader(settings: Settings) -> Lines:
    """Arguments of the loader."""
    return "in the call that makes the loader", (f"DataLoader(..., {_keywords('loader', settings)})",)


def _threads(settings: Settings) -> Lines:
    """Numbers of threads."""
    calls = {"intra": "torch.set_num_threads", "inter": "torch.set_num_interop_threads"}
    return _START, tuple(f"{calls[name]}({int(value)})" for name, value in settings.items())


def _affinity(settings: Settings) -> Lines:
    """The cores to run on."""
    cores = int(settings.get("cores", 1))
    return _FIRST, ("import os", f"os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{cores}])")


def _gc(settings: Settings) -> Lines:
    """The garbage collector."""
    lines = ["import gc"]
    where = "before the training loop"
    if "threshold" in settings:
        lines.append(f"gc.set_threshold({int(settings['threshold'])}, *gc.get_threshold()[1:])")
    if settings.get("freeze"):
        where = "once, after the first optimizer step"
        lines += ["gc.collect()", "gc.freeze()"]
    return where, tuple(lines)


def _optimizer(settings: Settings) -> Lines:
    """Arguments of the optimizer."""
    given = _keywords("optimizer", settings)
    return "in the call that makes the optimizer", (f"torch.optim.Adam(..., {given})  # or yours",)


def _zero_grad(settings: Settings) -> Lines:
    """How gradients are cleared."""
    return "where gradients are cleared", (f"opt.zero_grad({_keywords('zero_grad', settings)})",)


def _allocator(settings: Settings) -> Lines:
    """The allocator of device memory."""
    value = ",".join(f"{name}:{literal('allocator', name, value)}" for name, value in settings.items())
    name = '"PYTORCH_ALLOC_CONF"'
    return _FIRST, (
        "import os",
        f'os.environ[{name}] = "{value}"  # PyTorch before 2.9: PYTORCH_CUDA_ALLOC_CONF',
    )


def _host_allocator(settings: Settings) -> Lines:
    """The allocator of the C library."""
    return _FIRST, (
        "import ctypes",
        "libc = ctypes.CDLL(None)",
        "libc.mallopt(-4, 0)  # M_MMAP_MAX: large blocks from the heap, too",
        "libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: freed memory stays",
    )


def _dynamo(settings: Settings) -> Lines:
    """Compiling or not."""
    value = int(bool(settings.get("disable")))
    return _FIRST, ("import os", f'os.environ["TORCHDYNAMO_DISABLE"] = "{value}"')


def _cadence(settings: Settings) -> Lines:
    """How often the script does something: only its author can say."""
    return "in the training loop", tuple(f"# {name}={int(value)}" for name, value in settings.items())


def _channels_last(settings: Settings) -> Lines:
    """The memory format of model and images."""
    return (
        "after the model is on its device, and for each batch of images",
        ("net = net.to(memory_format=torch.channels_last)", "x = x.to(memory_format=torch.channels_last)"),
    )


def _autocast(settings: Settings) -> Lines:
    """Mixed precision."""
    return (
        "around the forward pass and the loss",
        ("with torch.autocast(device.type, dtype=torch.bfloat16):", "    loss = loss_fn(net(x), y)"),
    )


def _matmul(settings: Settings) -> Lines:
    """The precision of matrix products."""
    level = int(settings.get("precision", settings.get("tf32", 1)))
    return _START, (f'torch.set_float32_matmul_precision("{_PRECISIONS[min(level, 2)]}")',)


def _float32(settings: Settings) -> Lines:
    """Single precision."""
    return "where the model and each batch are made", ("net = net.float()", "x = x.float()")


def _compile(settings: Settings) -> Lines:
    """Compiling the model."""
    given = ["dynamic=True"] if settings.get("dynamic") else []
    given += ['mode="reduce-overhead"'] if settings.get("reduce_overhead") else []
    call = f"compile({', '.join(given)})"
    where = "after the model is on its device, and before DistributedDataParallel"
    if settings.get("regional"):
        return where, ("for block in net.blocks:  # the block that repeats", f"    block.{call}")
    return where, (f"net.{call}",)


def _compile_optimizer(settings: Settings) -> Lines:
    """Compiling the update."""
    return "after the optimizer is made", ("opt.step = torch.compile(opt.step)",)


def _cudnn(settings: Settings) -> Lines:
    """cuDNN's choice of algorithms."""
    return _START, (f"torch.backends.cudnn.benchmark = {bool(settings.get('benchmark', 1))}",)


def _sdpa(settings: Settings) -> Lines:
    """The kernels of attention; without any, the way that leads to them."""
    if not settings:
        return "where attention is computed", (
            "out = F.scaled_dot_product_attention(q, k, v)  # for softmax(q @ k.T) @ v; need_weights=False for modules",
            '# Hugging Face: from_pretrained(name, attn_implementation="sdpa")',
        )
    names = {
        "flash": "FLASH_ATTENTION",
        "efficient": "EFFICIENT_ATTENTION",
        "math": "MATH",
        "cudnn": "CUDNN_ATTENTION",
    }
    chosen = ", ".join(f"SDPBackend.{names[name]}" for name, value in settings.items() if value)
    return "around the forward pass", (
        "from torch.nn.attention import SDPBackend, sdpa_kernel",
        f"with sdpa_kernel([{chosen}]):",
        "    out = net(x)",
    )


def _checkpointing(settings: Settings) -> Lines:
    """Keeping activations."""
    return "where a block is recomputed in backward", (
        "out = block(x)  # instead of checkpoint(block, x, ...)",
    )


def _non_blocking(settings: Settings) -> Lines:
    """Copies that the host does not wait for."""
    return "where a pinned batch is copied to the device", ("x = x.to(device, non_blocking=True)",)


def _eval_no_grad(settings: Settings) -> Lines:
    """Evaluation without a graph."""
    return "around the evaluation", ("with torch.no_grad():", "    out = net(x)")


def _ddp(settings: Settings) -> Lines:
    """What gradients are exchanged in."""
    given = {name: value for name, value in settings.items() if not name.endswith("_hook")}
    lines = [f"ddp = DistributedDataParallel(net, {_keywords('ddp', given)})"] if given else []
    for name in ("bf16_hook", "fp16_hook"):
        if settings.get(name):
            lines.append("from torch.distributed.algorithms.ddp_comm_hooks import default_hooks")
            lines.append(f"ddp.register_comm_hook(None, default_hooks.{name[:4]}_compress_hook)")
    return "where the model is wrapped", tuple(lines)


def _no_sync(settings: Settings) -> Lines:
    """Exchanging gradients once per update."""
    return "around all but the last backward pass of an update", (
        "with ddp.no_sync():",
        "    loss.backward()",
    )


def _anomaly(settings: Settings) -> Lines:
    """Autograd's anomaly detection."""
    return "in place of detect_anomaly() and set_detect_anomaly(True)", (
        "torch.autograd.set_detect_anomaly(False)",
    )


_LINES: Mapping[str, Callable[[Settings], Lines]] = {
    "loader": _loader,
    "threads": _threads,
    "affinity": _affinity,
    "gc": _gc,
    "optimizer": _optimizer,
    "zero_grad": _zero_grad,
    "allocator": _allocator,
    "host_allocator": _host_allocator,
    "dynamo": _dynamo,
    "cadence": _cadence,
    "channels_last": _channels_last,
    "autocast": _autocast,
    "matmul": _matmul,
    "float32": _float32,
    "compile": _compile,
    "compile_optimizer": _compile_optimizer,
    "cudnn": _cudnn,
    "sdpa": _sdpa,
    "checkpointing": _checkpointing,
    "non_blocking": _non_blocking,
    "eval_no_grad": _eval_no_grad,
    "ddp": _ddp,
    "no_sync": _no_sync,
    "anomaly": _anomaly,
}
