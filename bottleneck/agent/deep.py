"""The deep window: a few steps looked at closely, once, when the command asks for it. Loaded only then.

First some steps are counted operator by operator (``counting``), then some run under torch.profiler, whose trace
is exported for the command to read. The whole window is told by two events, so that none of its steps is timed;
whatever goes wrong in it costs the window and nothing else.
"""

from __future__ import annotations

import atexit
import json
import os
from _thread import get_ident
from collections.abc import Callable, Iterator
from typing import Any

from . import late, memory, model_calls, updates
from .arguments import weight_storages
from .counting import Counting
from .modules import Place
from .orders import Order, Orders
from .passes import Passes
from .recorder import Recorder, now
from .tracing import Tracing
from .unused import Unused

_COUNTED = 3  # steps with the counting mode on; the median of three is not that of one disturbed step
_MOST_OPTIMIZERS = 4  # a step with several optimizers, as of a GAN, ends with the last of them
_MOST_EVENTS = 150_000  # of the trace: some 40 MB and a second to export
_EVENTS_PER_CALL = 5  # events of the profiler for one operator below autograd, about


class Deep:
    """Carries out one order at a time."""

    def __init__(self, torch: Any, recorder: Recorder, orders: Orders, optimizers: Any) -> None:
        """Act at the boundaries that ``orders`` tells; ``optimizers`` knows the optimizers and their steps."""
        self.torch = torch
        self.recorder = recorder
        self.orders = orders
        self.optimizers = optimizers
        self.counting: Counting | None = None
        self.tracing: Tracing | None = None
        self.unused: Unused | None = None
        self._plan: Iterator[None] | None = None
        self._order: Order = {}
        self._begun = 0
        self._thread = 0
        self._found: dict[str, Any] = {}
        os.register_at_fork(before=self._before_fork)
        atexit.register(self._leave)

    def carry_out(self, order: Order) -> None:
        """Begin the window that ``order`` asks for, or tell why not."""
        if self._plan is not None:
            return
        self._order, self._begun, self._thread = order, now(), get_ident()
        self._found = {"format": 1, "rank": os.environ.get("RANK", "0"), "problems": []}
        reason = self._refuses()
        if reason:
            self._tell("end", reason=reason)
            return
        self._plan = self._steps()
        self.orders.each = self.boundary
        self._tell("begin")
        self.boundary()

    def boundary(self) -> None:
        """Go on to the next step of the plan; end it where it fails or takes too long."""
        if self._plan is None or get_ident() != self._thread:
            return
        try:
            if (now() - self._begun) / 1e9 > self._limit():
                self._problem("the window took longer than allowed; what is missing was left out")
                self._end()
            elif next(self._plan, self) is self:
                self._end()
        except Exception as error:
            if not late.keep(error):
                self._problem(f"{type(error).__name__}: {error}")
                self._end()

    def _limit(self) -> float:
        """Return how many seconds the window may take."""
        return float(self._order.get("seconds", 10.0))

    def _refuses(self) -> str:
        """Return why the window can't be, or ""."""
        core = self.torch._C
        if core._autograd._profiler_enabled():
            return "the script profiles itself"
        if core._len_torch_dispatch_stack() or core._len_torch_function_stack():
            return "a mode of the script sees every operator"
        return ""

    def _steps(self) -> Iterator[None]:
        """Yield at each boundary; what follows a ``yield`` happens at the next one."""
        most = 0
        if _is_compiled():
            self._problem("the model is compiled: counting its operators would run it uncompiled")
        else:
            yield from self._count()
            most = self.counting.calls_of_step if self.counting is not None else 0
            self._end_counting()
        steps = int(self._order.get("steps", 3))
        if most:
            steps = min(steps, _MOST_EVENTS // (most * _EVENTS_PER_CALL))
        if steps < 1:
            self._problem("no trace: a step has too many operators")
            return
        yield from self._trace(steps)

    def _count(self) -> Iterator[None]:
        """Count the operators of some steps, after one that warms up the mode itself.

        Each is followed by a step without the mode: what a step takes beside its operators is the difference of
        neighbours, whatever else the machine does in these seconds.
        """
        self.unused = Unused(self.torch, list(self.optimizers.numbers))
        passes = Passes(self.torch, _gathers_gradients)
        place = Place(self.torch, self._in_optimizer, _making_batch, self.unused.is_useful, passes.is_again)
        counting = self.counting = Counting(self.torch, place, _COUNTED, self._weights(), passes)
        unit = range(min(max(1, self.optimizers.count), _MOST_OPTIMIZERS))
        self._switch_on()
        for _ in unit:
            yield
        counting.measure_floor()
        for _ in range(_COUNTED):
            counting.begin_step()
            for _ in unit:
                yield
            counting.end_step()
            self._switch_off()
            waited, start = counting.waited.read(), now()
            for _ in unit:
                yield
            counting.bare_ns.append((start, now(), counting.waited.read() - waited))
            self._switch_on()
        self._found["unit"] = len(unit)

    def _switch_on(self) -> None:
        """Let the mode see every operator, and its place every module call."""
        assert self.counting is not None
        model_calls.intercept(self.counting.place.wrap)
        self.counting.__enter__()

    def _switch_off(self) -> None:
        """Take the mode off; where one of the script's lies above it, it stays and lets everything pass."""
        from torch.utils._python_dispatch import _get_current_dispatch_mode

        model_calls.intercept(None)
        if self.counting is not None and _get_current_dispatch_mode() is self.counting:
            self.counting.__exit__(None, None, None)

    def _trace(self, steps: int) -> Iterator[None]:
        """Profile ``steps`` steps after one that warms the profiler up, and export what it saw."""
        name = f"trace-{os.getpid()}.json"
        tracing = self.tracing = Tracing(self.torch, os.path.join(str(self._order["out"]), name))
        tracing.start(self._abort_trace)
        yield
        for _ in range(steps):
            tracing.mark()
            yield
        tracing.mark()
        if tracing.stop():
            self._found["trace"] = {"file": name, "steps": steps}
        self.tracing = None

    def _in_optimizer(self) -> bool:
        """Return whether an optimizer's step is under way."""
        return bool(self.optimizers.outermost.frame)

    def _end_counting(self) -> None:
        """Take the mode off and keep what it found."""
        if self.counting is None:
            return
        self.counting.step = -1
        self._switch_off()
        counting, self.counting = self.counting, None
        counting.waited.close()
        for problem in filter(None, (counting.problem, counting.passes.problem)):
            self._problem(problem)
        self._found["counted"] = counting.found()
        self._found["unused"] = self._unused()

    def _abort_trace(self, reason: str) -> None:
        """Stop the profiler without a trace."""
        tracing, self.tracing = self.tracing, None
        if tracing is not None:
            tracing.drop()
            self._problem("no trace: " + reason)

    def _before_fork(self) -> None:
        """Stop the profiler before a process is forked: the child would record into its own memory for ever."""
        if self.tracing is not None and get_ident() == self._thread:
            self._abort_trace("a process was forked meanwhile")
            self._plan = iter(())

    def _leave(self) -> None:
        """Stop everything when the script ends inside the window."""
        if self._plan is not None:
            self._problem("the script ended inside the window")
            self._end()

    def _end(self) -> None:
        """End the window: everything off, what was found into a file of its own."""
        self._plan, self.orders.each = None, None
        self._end_counting()
        self._abort_trace("the window ended early")
        name = f"deep-{os.getpid()}.json"
        try:
            self._found["memory"] = memory.split(self.torch, self.optimizers.numbers)
            self._found["updates"] = self._updates()
            with open(os.path.join(str(self._order["out"]), name), "w", encoding="ascii") as file:
                json.dump(self._found, file)
        except Exception as error:
            self._tell("end", reason=f"{type(error).__name__}: {error}")
            return
        self._tell("end", file=name)

    def _weights(self) -> frozenset[int]:
        """Return what tells the memory of weights; nothing where the script's tensors do not let us."""
        try:
            return weight_storages(self.torch, list(self.optimizers.numbers))
        except Exception as error:
            self._problem(f"weights: {type(error).__name__}: {error}")
            return frozenset()

    def _unused(self) -> dict[str, Any]:
        """Return what gets gradients in vain; nothing that can be trusted where the script's tensors do not tell."""
        unused, self.unused = self.unused, None
        if unused is not None and unused.problem:
            self._problem(unused.problem)
        try:
            return unused.found() if unused is not None else {}
        except Exception as error:
            self._problem(f"unused gradients: {type(error).__name__}: {error}")
            return {}

    def _updates(self) -> list[dict[str, Any]]:
        """Return what the updates work on; nothing where the script's optimizers do not tell."""
        try:
            return updates.told(self.torch, list(self.optimizers.numbers))
        except Exception as error:
            self._problem(f"updates: {type(error).__name__}: {error}")
            return []

    def _problem(self, text: str) -> None:
        """Remember something that is missing."""
        self._found.setdefault("problems", []).append(text[:500])

    def _tell(self, state: str, **data: Any) -> None:
        """Write one event; those of a window carry the number of its order."""
        if data.get("reason"):
            self.recorder.event("failure", collector="deep", reason=data["reason"])
        data |= {"state": state, "number": self._order.get("number", 0), "begin_ns": self._begun}
        self.recorder.event("deep", **data)
        self.recorder.flush()


def _making_batch() -> bool:
    """Return whether this thread is making a batch."""
    return bool(model_calls.STATE.making_batch)


def _gathers_gradients() -> bool:
    """Return whether this thread runs a backward pass that adds to the parameters' gradients."""
    return bool(model_calls.STATE.gathers)


def _is_compiled() -> bool:
    """Return whether Dynamo has compiled anything in this process."""
    import sys

    module: Any = sys.modules.get("torch._dynamo.utils")
    return bool(module is not None and module.counters["frames"].get("ok", 0))


def handler(torch: Any, recorder: Recorder, orders: Orders, optimizers: Any) -> Callable[[Order], None]:
    """Return what carries out orders called "deep"."""
    return Deep(torch, recorder, orders, optimizers).carry_out
