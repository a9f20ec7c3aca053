"""Carries out one order after the other: blocks of steps as is and without a resource, and what ends them."""

from __future__ import annotations

import atexit
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from .. import WATCH, kinds
from ..hooks import Hooks
from ..late import keep
from ..recorder import Recorder, now
from .arm import Arm, Invalid, Refused, Setting
from .counts import Counts
from .delivery import Delivery
from .names import make_arm
from .redirect import Redirect

_LOOKED_AT = 5  # steps that tell the loader that feeds them from one that evaluation asks now and then
_ABBA = (False, True, True, False)  # whether the resource is removed: a drift over time cancels out


class Experiments:
    """All orders of this process; one is under way at a time."""

    def __init__(self, torch: Any, hooks: Hooks, recorder: Recorder, todo: Any) -> None:
        """Let orders to stop find everything given back."""
        self.torch = torch
        self.hooks = hooks
        self.recorder = recorder
        self.todo = todo
        self.redirect: Redirect | None = None
        self.current: Order | None = None
        stop = todo._handlers.get("stop")
        if stop is not None:
            todo.on("stop", lambda order: self._stop(stop, order))
        self._watch_the_end()
        hooks.on_undo(lambda: self.end("invalid", "all hooks were removed"))

    def _stop(self, stop: Callable[[dict[str, Any]], None], order: dict[str, Any]) -> None:
        """End what is under way, then stop the script."""
        self.end("invalid", "given up: the script is stopped")
        stop(order)

    def begin(self, order: dict[str, Any]) -> None:
        """Start the order; what it can't do it refuses, and the training goes on."""
        self.end("invalid", "given up: the next order came")
        name = str(order.get("arm"))
        try:
            current = self.current = Order(self, order, name)
            current.start()
            self.todo.each = self.each
        except Refused as reason:
            self.end("refused", str(reason))
        except Exception as error:
            self._failed(error)

    def each(self) -> None:
        """Go on with the order under way; called at every step's boundary."""
        current = self.current
        if current is None:
            self.todo.each = None
            return
        try:
            if current.boundary():
                self.end("done", "")
        except Refused as reason:
            self.end("refused", str(reason))
        except Invalid as reason:
            self.end("invalid", str(reason))
        except Exception as error:
            self._failed(error)

    def end(self, state: str, reason: str) -> None:
        """End the order under way, if any: give back what was taken away, and tell."""
        current, self.current = self.current, None
        if current is None:
            return
        self.todo.each = None
        problem = current.close()
        if problem and state == "done":
            state, reason = "invalid", problem
        self.recorder.flush()
        self.recorder.event(
            "ablated",
            arm=current.name,
            state=state,
            reason=reason,
            steps=current.steps,
            at=current.order.get("at"),
            fingerprint=current.facts,
        )

    def raised(self, error: BaseException | None) -> None:
        """End the order because the script raised ``error``, which goes its way."""
        self.end("invalid", f"the script raised {type(error).__name__}")

    def start_redirecting(self, scratch: str) -> None:
        """Send what the script writes to ``scratch`` from now on; the first order that is carried out says so."""
        if self.redirect is None:
            redirect = Redirect(self.hooks, self.recorder.run, scratch)
            redirect.start(WATCH.when)
            self.redirect = redirect
            self.recorder.event("experiments", steps=self.todo.steps())

    def _failed(self, error: Exception) -> None:
        """End the order after a failure of ours; an exception of a signal handler stays the script's."""
        self.end("invalid", f"the experiment failed: {type(error).__name__}: {error}")
        if not keep(error):
            self.recorder.failed("ablation", error)

    def _watch_the_end(self) -> None:
        """End the order when the script ends, by an exception or otherwise."""
        original, owner = sys.excepthook, os.getpid()

        def excepthook(kind: Any, error: BaseException, trace: Any) -> Any:
            self.raised(error)
            return original(kind, error, trace)

        def leave() -> None:
            if os.getpid() == owner:
                self.end("invalid", "the script ended")

        self.hooks.patch(sys, "excepthook", excepthook)
        atexit.register(leave)
        self.hooks.on_undo(lambda: atexit.unregister(leave))


class Order:
    """One order: its arm, its blocks, and where in them the training is."""

    def __init__(self, all_: Experiments, order: dict[str, Any], name: str) -> None:
        """Read the order; nothing is patched yet.

        Raises:
            Refused: There is no such experiment.
        """
        self.all = all_
        self.order = order
        self.name = name
        self.steps = 0
        self.facts: dict[str, Any] = {}
        self.hooks = Hooks()
        self.block = max(1, int(order.get("block", 20)))
        self.wash = max(0, int(order.get("wash", 0)))
        self.blocks = list(_ABBA) * max(1, int(order.get("pairs", 1)))
        self.budget_ns = float(order.get("budget_s") or 0.0) * 1e9
        self.world = _world(all_.torch)
        self.delivery = Delivery(all_.torch, all_.recorder)
        self.counts = Counts(all_.torch, all_.recorder, all_.raised)
        self.arm: Arm | None = None
        self.done = 0  # blocks that have ended
        self.left = 0  # steps until the block, or its washing out, ends
        self.counting = False
        self.since = self.began = now()

    def start(self) -> None:
        """Put everything in place for the first block."""
        all_ = self.all
        setting = Setting(all_.torch, self.hooks, all_.recorder, self.delivery, self.order, self.world)
        arm = make_arm(self.name, setting)
        arm.check()
        all_.start_redirecting(str(self.order["scratch"]))
        self.counts.install(self.hooks)
        self.delivery.install(self.hooks)
        self.arm = arm
        arm.prepare()
        self._enter(False)

    def boundary(self) -> bool:
        """Count one step; return whether the order is carried out.

        Raises:
            Refused, Invalid: It has to end before.
        """
        assert self.arm is not None
        ordinary = not self.arm.removed
        self.steps += 1
        self.left -= 1
        self.arm.after_step(ordinary)
        self.delivery.after_step()
        if self.arm.single:
            return self.left <= 0 and self.arm.carry_out()
        if self.left > 0:
            return False
        if not self.counting:
            self._count()
            return False
        self._record(ordinary)
        self.done += 1
        if self.done >= len(self.blocks) or self._is_spent():
            return True
        self._enter(self.blocks[self.done])
        return False

    def _is_spent(self) -> bool:
        """Return whether time is up at the end of a pair; ranks go by steps alone, as clocks differ."""
        whole = self.done % len(_ABBA) == 0
        return whole and self.world == 1 and 0 < self.budget_ns < now() - self.began

    def _enter(self, removed: bool) -> None:
        """Begin a block with the steps that are not counted."""
        assert self.arm is not None
        if removed:
            if not self.arm.removed:
                self.arm.remove()
        elif self.arm.removed:
            self.arm.give_back()
        self.delivery.ordinary = not removed
        self.delivery.counting = self.counting = False
        self.left = max(self.wash, _LOOKED_AT) if self.arm.single else self.wash
        if self.left <= 0 and not self.arm.single:
            self._count()

    def _count(self) -> None:
        """Begin to count: this boundary is the block's first."""
        assert self.arm is not None
        self.counting = self.delivery.counting = True
        self.counts.current = self.counts.work[self.arm.removed]
        self.left = self.block
        wait_for_device(self.all.torch)
        self.since = now()

    def _record(self, ordinary: bool) -> None:
        """Write the span of the block that has just ended."""
        wait_for_device(self.all.torch)
        recorder = self.all.recorder
        name = recorder.name(self.name)
        recorder.span(kinds.MARK, self.since, now(), 0, name, 0 if ordinary else 1, self.block)
        self.counts.block(not ordinary, self.block)

    def close(self) -> str:
        """Give everything back; return why the order can't be used, "" where it can."""
        problem = ""
        if self.arm is not None:
            try:
                self.counts.compare(self.delivery)
            except Invalid as reason:
                problem = str(reason)
            self.facts = self.counts.facts(self.delivery) | self.arm.facts()
            self.arm.close()
        self.hooks.undo()
        return problem


def _world(torch: Any) -> int:
    """Return how many ranks train: by their group, as frameworks that start ranks themselves set no variables."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    return int(os.environ.get("WORLD_SIZE") or 1)


def wait_for_device(torch: Any) -> None:
    """Let the device finish what it was given, so that a block ends with its own work and none of another."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        inspect.unwrap(torch.cuda.synchronize)()
