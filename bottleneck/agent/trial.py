"""The agent of a trial: as little as tells how fast the steps are and what the losses were.

Both arms of a trial carry the same: the time of each optimizer step, the loss of each backward pass, the same seeds,
and a layer over the file system (``protect``). What one arm has changed is in ``overrides``.
"""

from __future__ import annotations

import os
import random
from typing import Any

from . import Watch, dynamo, facts, orders, stopping
from .hooks import Hooks
from .losses import Losses
from .optimizers import Optimizers
from .recorder import Recorder


def begin(config: dict[str, Any], watch: Watch) -> None:
    """Set the seeds of a script that sets none, before its first line."""
    seed = config["trial"]["seed"]
    random.seed(seed)
    watch.when("numpy.random", lambda module: module.seed(seed))


def install(torch: Any, config: dict[str, Any], watch: Watch) -> None:
    """Put in place what a trial measures, after what it changes."""
    from . import install as whole

    hooks = Hooks()
    recorder = Recorder(config["run"], hooks, lambda: facts.header(torch, config))
    hooks.on_undo(watch.leave)
    torch.manual_seed(config["trial"]["seed"])
    whole.attempt("dynamo", dynamo.keep_out, recorder)
    whole.attempt("overrides", lambda: whole.install_overrides(torch, hooks, recorder, config), recorder)
    whole.attempt(
        "processes", lambda: whole.follow_processes(recorder), recorder
    )  # first: exit handlers run last to first
    whole.attempt("steps", lambda: _install_steps(torch, hooks, recorder), recorder)


def _install_steps(torch: Any, hooks: Hooks, recorder: Recorder) -> None:
    """Time optimizer steps, see losses, and stop after as many steps as the command wants."""
    todo = orders.Orders(recorder, lambda: steps.steps)
    steps = Optimizers(torch, recorder, lambda optimizer, number: None, todo.boundary)
    losses = Losses(torch, recorder, lambda: steps.steps)
    stop = stopping.Stopping(recorder)

    def leave() -> None:
        try:
            losses.read()
        except Exception as error:
            recorder.failed("losses", error)

    def end(order: dict[str, Any]) -> None:
        leave()
        recorder.flush()
        with open(recorder.run + "/stopped", "w", encoding="ascii"):  # the command need not wait much longer
            stop.stop(order)

    todo.on("stop", end)
    todo.look()
    recorder.at_flush.append(todo.look)
    steps.install(hooks)
    losses.install(hooks)
    stopping.tidy_exceptions(hooks, stop)
    _before_exit(leave)


def _before_exit(call: Any) -> None:
    """Call ``call()`` before this process ends in an orderly way, ahead of what writes the record."""
    import atexit

    owner = os.getpid()
    atexit.register(lambda: call() if os.getpid() == owner else None)
