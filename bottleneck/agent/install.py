"""Puts all hooks in place, in the moment the import of torch has ended. Each may fail alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import (
    PACKAGE,
    Watch,
    ablation,
    batches,
    by_hand,
    collectives,
    compiling,
    data_parallel,
    device_marks,
    dynamo,
    facts,
    groups,
    kinds,
    model_calls,
    optimizers,
    orders,
    report,
    stalls,
    stopping,
    transfers,
)
from . import operators as operators_
from .hooks import Hooks
from .recorder import Recorder, now

_COST_SPANS = 200


class Session:
    """Everything of ours that lives in this process."""

    hooks: Hooks
    recorder: Recorder


SESSION = Session()


def install(torch: Any, config: dict[str, Any], watch: Watch) -> None:
    """Install every hook; what fails is told in the record and costs its own measurement only."""
    hooks = SESSION.hooks = Hooks()
    recorder = SESSION.recorder = Recorder(config["run"], hooks, lambda: facts.header(torch, config))
    config["torch_import_ns"] = now()
    config["span_cost_ns"] = _span_cost(recorder)
    hooks.on_undo(watch.leave)
    attempt("dynamo", dynamo.keep_out, recorder)
    attempt("overrides", lambda: install_overrides(torch, hooks, recorder, config), recorder)
    attempt("model", lambda: _install_model(torch, hooks, recorder, watch), recorder)
    attempt("stalls", lambda: stalls.install(torch, hooks, recorder, watch), recorder)
    attempt("compiling", lambda: compiling.install(hooks, recorder, watch), recorder)
    attempt("transfers", lambda: transfers.install(torch, hooks, recorder), recorder)
    attempt("device marks", lambda: _install_device_marks(torch, hooks, recorder), recorder)
    attempt("collectives", lambda: _install_collectives(torch, hooks, recorder), recorder)
    attempt("processes", lambda: follow_processes(recorder), recorder)
    attempt("stacks", lambda: _allow_stacks(config["command_pid"]), recorder)


def install_overrides(torch: Any, hooks: Hooks, recorder: Recorder, config: dict[str, Any]) -> None:
    """Change what the command was asked to change (``--apply``, a trial); below our hooks, so that they time it."""
    if config.get("overrides"):
        from . import overrides

        overrides.install(torch, hooks, recorder, config)
        dynamo.keep_out()


def _allow_stacks(command_pid: int) -> None:
    """Let the command's own children (py-spy) read our stacks where Yama allows that to ancestors only.

    Source:
        prctl(2), PR_SET_PTRACER: the named process and its descendants.
    """
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope", encoding="ascii") as file:
            if file.read().strip() != "1":
                return
    except OSError:
        return
    import ctypes

    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(command_pid), 0, 0, 0)


def attempt(name: str, call: Callable[[], None], recorder: Recorder) -> None:
    """Run one part of the installation; another torch version may lack what it patches."""
    try:
        call()
    except Exception as error:
        report("install " + name, error)
        recorder.event("failure", collector=name, reason=f"{type(error).__name__}: {error}")


def _install_model(torch: Any, hooks: Hooks, recorder: Recorder, watch: Watch) -> None:
    """Install the hooks that make steps: forward, backward, optimizer, batches, the stop."""
    told_torch: list[bool] = []

    def on_optimizer(optimizer: Any, number: int) -> None:
        if not told_torch:
            told_torch.append(True)
            facts.tell_torch(torch, recorder, hand.anomaly)
        facts.tell_optimizer(optimizer, number, recorder)

    hand = by_hand.ByHand(torch, recorder, lambda: steps.steps)
    todo = orders.Orders(recorder, hand.updates)
    steps = optimizers.Optimizers(torch, recorder, on_optimizer, todo.boundary)
    stop = stopping.Stopping(recorder)
    todo.on("stop", lambda order: _stop(torch, recorder, stop, order))
    todo.on("deep", lambda order: _deep(torch, recorder, todo, steps, order))
    recorder.at_flush.append(todo.look)
    making = batches.Batches(torch, recorder, hooks)
    ablation.prepare(torch, hooks, recorder, todo)

    def tell_model(model: Any) -> None:
        facts.tell_model(model, recorder)
        hand.follow(model)

    time_transform = making.transforms.timed

    def forward() -> None:
        roots = model_calls.install_forward(torch, hooks, recorder, tell_model, time_transform)
        making.on_new = roots.arm
        watch.when("torch._dynamo.callback", lambda found: _tell_of_compiling(found, roots, hooks))

    attempt("forward", forward, recorder)
    attempt("backward", lambda: _install_backward(torch, hooks, recorder), recorder)
    attempt("optimizer", lambda: steps.install(hooks), recorder)
    attempt("updates by hand", lambda: hand.install(todo.boundary), recorder)
    hooks.on_undo(lambda: model_calls.after_backward(None))
    attempt("loader", lambda: making.install(hooks), recorder)
    attempt("tracebacks", lambda: stopping.tidy_exceptions(hooks, stop), recorder)
    attempt("worker tracebacks", lambda: stopping.tidy_worker_errors(torch, hooks), recorder)


def _tell_of_compiling(callback: Any, roots: Any, hooks: Hooks) -> None:
    """Watch all modules from the first compilation on."""
    callback.callback_handler.register_start_callback(roots.stay)
    hooks.on_undo(lambda: callback.callback_handler.remove_start_callback(roots.stay))


def _deep(torch: Any, recorder: Recorder, todo: orders.Orders, steps: Any, order: orders.Order) -> None:
    """Load what looks closely at some steps and let it carry out this order, and those to come."""
    try:
        from . import deep

        dynamo.keep_out()
        call = deep.handler(torch, recorder, todo, steps)
    except Exception as error:
        recorder.event("failure", collector="deep", reason=f"{type(error).__name__}: {error}")
        recorder.event("deep", state="end", number=order.get("number", 0), begin_ns=now())
        return
    todo.on("deep", call)
    call(order)


def _stop(torch: Any, recorder: Recorder, stop: stopping.Stopping, order: orders.Order) -> None:
    """Stop the script; measure the link between ranks before, where the order gives seconds for that."""
    seconds = order.get("link_s")
    if isinstance(seconds, (int, float)) and not stop.stopped:
        attempt("link", lambda: _probe_link(torch, recorder, float(seconds)), recorder)
    stop.stop(order)


def _probe_link(torch: Any, recorder: Recorder, seconds: float) -> None:
    """Load what measures the link, and let it."""
    from . import link

    dynamo.keep_out()
    link.probe(torch, recorder, seconds)


def _install_backward(torch: Any, hooks: Hooks, recorder: Recorder) -> None:
    """Install the hook on the autograd engine, and what counts operators in front of it."""
    before = operators_.Operators(torch, recorder).before_backward
    model_calls.install_backward(torch, hooks, recorder, before)


def _install_device_marks(torch: Any, hooks: Hooks, recorder: Recorder) -> None:
    """Have a GPU tell when it got to the end of each phase, from the moment the script uses one."""
    marks = device_marks.DeviceMarks(torch, recorder)
    recorder.at_flush.append(marks.look)
    hooks.on_undo(marks.leave)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=marks.leave)


def _install_collectives(torch: Any, hooks: Hooks, recorder: Recorder) -> None:
    """Install what times exchanges between ranks, where this torch has torch.distributed."""
    if not torch.distributed.is_available():
        return
    known = groups.Groups(torch.distributed.distributed_c10d, recorder)
    collectives.Collectives(recorder, known).install(torch, hooks)
    exchange = data_parallel.DataParallel(torch, recorder, known)
    exchange.install(hooks, lambda: model_calls.follow_exchange(exchange))
    hooks.on_undo(lambda: model_calls.follow_exchange(None))


def follow_processes(recorder: Recorder) -> None:
    """Write what is left when a process ends in an orderly way, and start afresh in forked children."""
    import atexit
    import multiprocessing.util

    owner = os.getpid()

    def leave() -> None:
        if recorder.has_something():
            recorder.flush()
            recorder.event("exit", spans=recorder.spans)

    def arrive(_: Recorder) -> None:
        # After its fork, multiprocessing forgets all finalizers but runs these registrations.
        multiprocessing.util.Finalize(None, leave, exitpriority=1000)

    atexit.register(lambda: leave() if os.getpid() == owner else None)
    multiprocessing.util.register_after_fork(recorder, arrive)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=recorder.after_fork)


def _span_cost(recorder: Recorder) -> float:
    """Return what recording one span costs here, in ns, measured into a buffer that is then emptied."""
    start = now()
    for _ in range(_COST_SPANS):
        recorder.span(kinds.PAUSE, start, start)
    cost = (now() - start) / _COST_SPANS
    recorder.held = []
    return cost


__all__ = ["PACKAGE", "SESSION", "install"]
