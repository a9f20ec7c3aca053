"""Times what DistributedDataParallel exchanges inside the backward pass, and tells how it is set up.

The reducer works in C++ and waits for its buckets in a callback that the autograd engine runs last. A callback
queued before that one marks the moment when all gradients are computed: from there to the return of the engine,
the pass waits for the exchange. On torch 2.13 and gloo this agrees with DDP's own clock within 1 % (issue 5).
Nothing is registered with DDP itself: no communication hook, no other numerics. On an accelerator the host's clock
says nothing about the exchange; there DDP's own timing of its first ten and of every hundredth backward is read.
"""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

from . import kinds
from .groups import Groups
from .hooks import Hooks, dress
from .recorder import Recorder, now

_READ_NS = 1_000_000_000  # DDP's own log is read once a second at most: reading takes 0.1 ms
_MOST = 64  # modules followed; a model has one, a GAN two
_SETTLED = 3  # iterations until DDP has rebuilt its buckets


class Module:
    """One DistributedDataParallel module."""

    def __init__(self, module: Any, number: int) -> None:
        """Follow ``module`` without keeping it alive."""
        self.ref = weakref.ref(module)
        self.number = number
        self.told = False
        self.iteration = 0
        self.bytes = 0
        self.on_cpu = False
        self.group = -1  # number of its process group, once it has exchanged anything
        for tensor in module.parameters():
            if tensor.requires_grad:
                self.bytes += tensor.numel() * tensor.element_size()
                self.on_cpu = tensor.device.type == "cpu"


class DataParallel:
    """All DistributedDataParallel modules of this process."""

    def __init__(self, torch: Any, recorder: Recorder, groups: Groups) -> None:
        """Write to ``recorder``; ``groups`` numbers groups and exchanges."""
        self.torch = torch
        self.recorder = recorder
        self.groups = groups
        self.modules: list[Module] = []
        self.passes = 0  # backward passes under way: they nest where a checkpoint computes again
        self.computed = 0  # when the gradients of this pass were ready, 0 while they are not
        self._handle: Any = None
        self._exchange: list[Module] = []  # whose gradients this pass exchanges
        self._name = 0
        self._read = 0
        self._count = 0
        self._first_hook, self._last_hook = (
            self._begin,
            self._mark,
        )  # bound once: they are handed over every pass

    def install(self, hooks: Hooks, on_first: Callable[[], None]) -> None:
        """Follow every module from its construction on, and read DDP's own timing now and then.

        ``on_first()`` is called when there is a module: passes before that need no look from here.
        """
        self._on_first = on_first
        owner = self.torch.nn.parallel.DistributedDataParallel
        original, follow, recorder = owner.__init__, self._follow, self.recorder

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            try:
                follow(self)
            except Exception as error:
                recorder.failed("ddp", error)

        hooks.patch(owner, "__init__", dress(__init__, original))
        self._queue: Callable[[Callable[[], None]], None] = (
            self.torch.autograd.Variable._execution_engine.queue_callback
        )

    def _follow(self, module: Any) -> None:
        """Add a module that was just built."""
        self.modules = [one for one in self.modules if one.ref() is not None]
        if len(self.modules) < _MOST:
            self._count += 1
            if self._count == 1:
                self._on_first()
            self.modules.append(Module(module, self._count))

    def before_backward(self, outputs: Any) -> None:
        """Ask for a mark at the end of computing, if this pass exchanges gradients."""
        self.passes += 1
        if self.passes > 1:
            return
        self.computed, self._handle = 0, None
        if not self.modules:
            return
        self._exchange = self._exchanging()
        if not self._exchange or _compiles_backward():
            return
        for output in outputs:
            root = output.grad_fn
            if root is not None:
                self._handle = root.register_prehook(self._first_hook)
                return

    def _exchanging(self) -> list[Module]:
        """Return the modules on the CPU whose last forward was not under ``no_sync``."""
        return [
            one
            for one in self.modules
            if one.on_cpu and (module := one.ref()) is not None and module.require_forward_param_sync
        ]

    def _begin(self, grads: Any) -> None:
        """Queue the mark: this runs first in the pass, so the mark comes before DDP's wait."""
        try:
            self._queue(self._last_hook)
        except Exception as error:
            self.recorder.failed("ddp", error)

    def _mark(self) -> None:
        """Note that all gradients are computed."""
        self.computed = now()

    def after_backward(self, end: int) -> None:
        """Write the exchange of the pass that ended at ``end``."""
        self.passes = max(0, self.passes - 1)
        if self.passes:
            return
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.remove()
            if self.computed:
                self._write_exchange(end)
        self.look()

    def _write_exchange(self, end: int) -> None:
        """Write how long the pass that ended at ``end`` waited for its buckets."""
        modules = self._exchange
        size = modules[0].bytes if len(modules) == 1 else sum(one.bytes for one in modules)
        if not self._name:
            self._name = self.recorder.name("ddp_all_reduce")
        self.recorder.span(kinds.COLLECTIVE, self.computed, end, 0, self._name, size, self._tag(modules[0]))

    def _tag(self, module: Module) -> int:
        """Return what to write for the next exchange of ``module``, whose group is looked up once."""
        if module.group >= 0:
            return self.groups.next_on(module.group)
        tag = self.groups.tag(getattr(module.ref(), "process_group", None))
        module.group = tag & 0xFFFF or -1
        return tag

    def look(self) -> None:
        """Read DDP's own timing and, once, the settings of each module; at most once a second.

        Never while a backward is under way: DDP holds the lock that reading takes, and a communication hook in
        Python may be what flushes the record.
        """
        if self.passes or not self.modules or now() - self._read < _READ_NS:
            return
        self._read = now()
        for one in self.modules:
            module = one.ref()
            if module is not None and getattr(module, "logger", None) is not None:
                try:
                    self._read_module(one, module)
                except Exception as error:
                    self.recorder.failed("ddp", error)

    def _read_module(self, one: Module, module: Any) -> None:
        """Write what is new about one module."""
        data = module.logger._get_ddp_logging_data()
        numbers = data.ints_map
        iteration = numbers.get("iteration", 0)
        if iteration == one.iteration:
            return
        one.iteration = iteration
        if "backward_comm_time" in numbers and numbers.get("backward_comm_time_end", 0) > 0:
            self._write_timing(one, numbers)
        if not one.told and iteration >= _SETTLED:
            one.told = True
            self.recorder.event("ddp", **_settings(one, module, numbers, data.strs_map))

    def _write_timing(self, one: Module, numbers: Any) -> None:
        """Write DDP's own timing of one backward: a = ns exchanging, b = ns of that beside computing."""
        to_ours = now() - time.time_ns()
        end = numbers["backward_comm_time_end"] + to_ours
        start = numbers.get("backward_compute_time_start", numbers["backward_comm_time_end"]) + to_ours
        overlap = numbers.get("backward_compute_comm_overlap_time", 0)
        name = self.recorder.name(f"ddp {one.number}")
        self.recorder.span(
            kinds.DDP_TIMING, min(start, end), end, 0, name, numbers["backward_comm_time"], overlap
        )


def _settings(one: Module, module: Any, numbers: Any, texts: Any) -> dict[str, Any]:
    """Return how a module is set up and what its buckets are."""
    sizes = texts.get("rebuilt_bucket_sizes") or texts.get("bucket_sizes") or ""
    return {
        "number": one.number,
        "name": texts.get("module_name", ""),
        "backend": texts.get("backend_name", ""),
        "bytes": one.bytes,
        "world": numbers.get("world_size"),
        "tensors": numbers.get("num_parameter_tensors"),
        "bucket_cap_bytes": numbers.get("bucket_cap_bytes"),
        "bucket_bytes": [int(size) for size in sizes.split(",") if size.strip().isdigit()][:256],
        "buckets": sizes.count(",") + 1 if sizes else 0,
        "find_unused_parameters": bool(module.find_unused_parameters),
        "gradient_as_bucket_view": bool(module.gradient_as_bucket_view),
        "static_graph": bool(module.static_graph),
        "broadcast_buffers": bool(getattr(module, "broadcast_buffers", False)),
        "unused_bytes": numbers.get("unused_parameter_size", 0),
        "comm_hook": texts.get("comm_hook", ""),
        "dtypes": texts.get("dtypes", ""),
        "on_cpu": one.on_cpu,
    }


def _compiles_backward() -> bool:
    """Return whether compiled autograd is on: it would trace the mark into its graph."""
    module: Any = sys.modules.get("torch._dynamo.compiled_autograd")
    return bool(module is not None and getattr(module, "compiled_autograd_enabled", False))
