"""Sees every operator of a few real steps: its time, floating-point operations, bytes, and the module it belongs to.

A dispatch mode lies below autograd, so it meets the operators that do the work, forward and backward. Each
costs some tens of microseconds while it is on; what the mode itself adds to a time is told beside it (``floor_ns``).
"""

from __future__ import annotations

import os
from _thread import get_ident
from contextlib import suppress
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from . import constants
from .arguments import describe
from .constants import Constants
from .formulas import flop_formulas, traffic
from .passes import Passes
from .recorder import now
from .sources import line
from .useless import Useless

_MAX_ROWS = 4_000  # distinct (phase, operator, shapes, module): bounds file and memory
_MAX_CALLS = 60_000  # of one step: two seconds at most
_DIMS = 6  # tensors whose shapes are told
_PROBES = 60
_TOLD = (200, 100)  # rows whose arguments are told: those of most time, and those of most bytes
_NOT_AGAIN = ("input", "optimizer")  # phases of which no call is made again: updates are told by their shapes
# Phases whose stack says no more than where backward was called.
_BY_AUTOGRAD = ("backward", "again", "unused", "retained")

Key = tuple[str, str, str, str, str, str]


class Waited:
    """How long this thread has waited for a core: time that belongs to no operator, whatever the clock says.

    Source:
        Linux, Documentation/scheduler/sched-stats: the second number is the time spent waiting on a run queue.
    """

    def __init__(self) -> None:
        """Read the thread that calls this; elsewhere, and off Linux, nothing is known to wait."""
        self.thread = get_ident()
        try:
            self.fd = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except (OSError, AttributeError):
            self.fd = -1

    def read(self) -> int:
        """Return nanoseconds since the thread began; 0 where they are not known."""
        if self.fd < 0 or get_ident() != self.thread:
            return 0
        try:
            return int(os.pread(self.fd, 80, 0).split()[1])
        except (OSError, ValueError, IndexError):
            return 0

    def close(self) -> None:
        """Read no more."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)


class Row:
    """What one kind of call added up to.

    Attributes:
        calls: How often it was made, all steps together.
        ns: Its time in each step.
        flops: Floating-point operations, all steps together.
        bytes: Bytes of all operands, all steps together.
        unique: The same with operands that share memory counted once.
        out: Elements it returned, all steps together.
        arguments: What the first call was given (``arguments.describe``), None where that can't be told.
        source: "file:line" that made the first call (``sources.line``); autograd's calls have none.
        number: Its place among the rows.
        same_ns: Time of calls that made what they had made in the step before (``constants``), all steps together.
    """

    __slots__ = (
        "arguments", "bytes", "calls", "flops", "ns", "number", "out", "same_ns", "source", "unique",
    )  # fmt: skip

    def __init__(self, steps: int, number: int) -> None:
        """Start at nothing, with room for ``steps`` steps."""
        self.number = number
        self.calls = self.flops = self.bytes = self.unique = self.out = self.same_ns = 0
        self.ns = [0] * steps
        self.arguments: dict[str, Any] | None = None
        self.source = ""


class Counting(TorchDispatchMode):  # type: ignore[misc]
    """The mode. It calls every operator exactly as it was called and gives back what that returned."""

    def __init__(
        self,
        torch: Any,
        place: Any,
        steps: int,
        weights: frozenset[int] = frozenset(),
        passes: Passes | None = None,
    ) -> None:
        """Ask ``place`` (see ``modules.Place``) for phase and module; keep times of ``steps`` steps.

        ``weights`` tells the memory of parameters (``arguments.weight_storages``); ``passes`` is told what is used
        outside backward.
        """
        super().__init__()
        self.torch = torch
        self.place = place
        self.weights = weights
        self.owner = os.getpid()
        self.formulas = flop_formulas(torch)
        self.steps = steps
        self.step = -1  # before the first: everything passes
        self.calls = self.calls_of_step = 0
        self.complete = True
        self.rows: dict[Key, Row] = {}
        self.storages: dict[int, int] = {}
        self.unique_bytes: list[int] = []
        self.bare_ns: list[tuple[int, int, int]] = []
        self.waited = Waited()
        self.floor_ns = 0
        self.problem = ""
        self.useless = Useless(torch)
        self.constants = Constants(torch, weights)
        self.passes = passes or Passes(torch, lambda: False)
        self._about: dict[Any, tuple[str, list[int], Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call ``func`` between two readings of the clock."""
        kwargs = kwargs or {}
        if self.step < 0 or os.getpid() != self.owner:
            return func(*args, **kwargs)
        waited, start = self.waited.read(), now()
        result = func(*args, **kwargs)
        taken = max(0, now() - start - (self.waited.read() - waited))
        try:
            self._count(func, args, kwargs, result, taken)
        except Exception as error:  # an operator we do not understand costs its own row
            self.problem = f"{func}: {type(error).__name__}: {error}"
        return result

    def begin_step(self) -> None:
        """Count from here on, as the next step."""
        self.storages.clear()
        self.constants.begin_step()
        self.passes.forget()
        self.step, self.calls = len(self.unique_bytes), 0

    def end_step(self) -> None:
        """Let everything pass from here on; nothing happens where no step is being counted."""
        if self.step >= 0:
            self.unique_bytes.append(sum(self.storages.values()))
            self.calls_of_step = max(self.calls_of_step, self.calls)
        self.step = -1

    def measure_floor(self) -> None:
        """Learn what the smallest operator takes when it is called from here (ns, median)."""
        value = self.torch.ones((), device="cpu")
        taken = []
        func = self.torch.ops.aten.mul.Tensor
        for _ in range(_PROBES):
            waited, start = self.waited.read(), now()
            func(value, value)
            taken.append(now() - start - (self.waited.read() - waited))
        self.floor_ns = sorted(taken)[_PROBES // 2]

    def found(self) -> dict[str, Any]:
        """Return everything as plain data: rows in the order of ``Row``'s attributes behind their key."""
        rows = [
            [*key, row.calls, row.ns, row.flops, row.bytes, row.unique, row.out]
            for key, row in self.rows.items()
        ]
        place = self.place
        modules = [
            [name, kind, place.parameters.get(name, 0), place.calls.get(name, 0)]
            for name, kind in place.classes.items()
        ]
        return {
            "steps": len(self.unique_bytes),
            "complete": self.complete,
            "floor_ns": self.floor_ns,
            "unique_bytes": self.unique_bytes,
            "bare_ns": self.bare_ns,
            "calls": self.calls_of_step,
            "rows": rows,
            "arguments": self._arguments(),
            "sources": {str(n): row.source for n, row in enumerate(self.rows.values()) if row.source},
            "useless": self.useless.found(),
            "constant": constants.found(self.rows.values(), len(self.unique_bytes)),
            "modules": modules,
            "threads": self.torch.get_num_threads(),
            "tf32": bool(self.torch.backends.cuda.matmul.allow_tf32),
            "cudnn_tf32": bool(self.torch.backends.cudnn.allow_tf32),
            "cudnn_benchmark": bool(self.torch.backends.cudnn.benchmark),
        }

    def _arguments(self) -> dict[str, Any]:
        """Return what the dearest rows were called with, by their number among the rows."""
        known = [(number, row) for number, row in enumerate(self.rows.values()) if row.arguments is not None]
        by_time = sorted(known, key=lambda pair: -sum(pair[1].ns))[: _TOLD[0]]
        by_size = sorted(known, key=lambda pair: -pair[1].bytes)[: _TOLD[1]]
        return {
            str(number): row.arguments for number, row in sorted({*by_time, *by_size}, key=lambda p: p[0])
        }

    def _count(self, func: Any, args: Any, kwargs: Any, result: Any, taken: int) -> None:
        """Add one call."""
        self.calls += 1
        if self.calls > _MAX_CALLS:
            self.complete, self.step = False, -1
            return
        about = self._about.get(func)
        if about is None:
            packet = getattr(func, "overloadpacket", func)
            name = str(packet).rpartition(".")[2]
            about = self._about[func] = (name, _written(func), self.formulas.get(packet))
        name, written, formula = about
        given, returned = self._tensors((args, tuple(kwargs.values()))), self._tensors(result)
        changed = self._tensors([args[i] for i in written if i < len(args)])
        moved, storages = traffic(name, given, changed, returned)
        phase, module = self.place.here()
        row = self._row(phase, name, given, returned, module)
        if phase not in ("backward", "unused", "retained"):
            self.useless.look(name, args)
        if phase in ("other", "optimizer"):
            self.passes.use(given)
        if not row.calls:
            self._describe(row, phase, func, args, kwargs)
        self.constants.look(row, phase, taken, given, changed, returned)
        row.calls += 1
        row.ns[self.step] += taken
        row.bytes += moved
        row.unique += sum(storages.values())
        row.out += sum(tensor.numel() for tensor in returned) if formula is not None else 0
        if formula is not None:
            row.flops += int(formula(*args, **kwargs, out_val=result))
        for storage, size in storages.items():
            self.storages[storage] = max(size, self.storages.get(storage, 0))

    def _describe(self, row: Row, phase: str, func: Any, args: Any, kwargs: Any) -> None:
        """Tell of the first call of a kind what it was given, and where it was made."""
        if phase not in _NOT_AGAIN:
            row.arguments = describe(self.torch, func, args, kwargs, self.weights)
        if phase not in _BY_AUTOGRAD:
            row.source = line()

    def _row(self, phase: str, name: str, given: list[Any], returned: list[Any], module: str) -> Row:
        """Return the row of this kind of call; beyond a bound, one that stands for all the rest."""
        shown = given[:_DIMS] or returned[:1]
        dims = " ".join("x".join(map(str, tensor.shape)) for tensor in shown if tensor.dim())
        wide = next((tensor for tensor in (*given, *returned) if tensor.is_floating_point()), None)
        kind = str(wide.dtype).removeprefix("torch.") if wide is not None else ""
        device = (given or returned)[0].device.type if given or returned else ""
        key = (phase, name, dims, kind, device, module)
        row = self.rows.get(key)
        if row is None:
            if len(self.rows) >= _MAX_ROWS:
                key = (phase, "others", "", kind, device, "")
            row = self.rows.setdefault(key, Row(self.steps, len(self.rows)))
        return row

    def _tensors(self, value: Any) -> list[Any]:
        """Return the tensors in nested lists and tuples."""
        if isinstance(value, self.torch.Tensor):
            return [value]
        if isinstance(value, (list, tuple)):
            return [tensor for each in value for tensor in self._tensors(each)]
        return []


def _written(func: Any) -> list[int]:
    """Return the positions of the arguments that an operator writes into."""
    arguments = enumerate(func._schema.arguments)
    return [i for i, one in arguments if one.alias_info is not None and one.alias_info.is_write]
