"""One kind of training loop after the other, each in a process of its own forked after the import of torch.

``many_loops.py [NAME...]`` runs all of them, or those named.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader
from truth import SGD, SLEEP_S, TRUTH, Net, Samples, Slow, Stream, backward, batches, evaluate, save

STEPS = 18


def train_step(model: nn.Module, optimizer: torch.optim.Optimizer, batch: torch.Tensor) -> None:
    """Take one ordinary step."""
    optimizer.zero_grad()
    backward(TRUTH.timed("forward", model, batch).sum())
    optimizer.step()


def plain() -> None:
    """Batches, steps, a checkpoint now and then, a slow log line, and work of the loop's own."""
    from truth import SlowHandler

    log = logging.getLogger("loop")
    log.addHandler(SlowHandler())
    log.propagate = False
    model = Net()
    optimizer = SGD(model.parameters(), 0.01)
    for number, batch in enumerate(batches(DataLoader(Samples(2 * STEPS), batch_size=2))):
        train_step(model, optimizer, batch)
        log.warning("step")
        TRUTH.slept("other", 2 * SLEEP_S)  # twice, as zero_grad and the loop itself are other, too
        if number % 8 == 3:
            save(model, "plain.pt")


def accumulation() -> None:
    """Three micro-batches a step."""
    model = Net()
    optimizer = SGD(model.parameters(), 0.01)
    for number, batch in enumerate(batches(DataLoader(Samples(6 * STEPS), batch_size=2))):
        backward(TRUTH.timed("forward", model, batch).sum())
        if number % 3 == 2:
            optimizer.step()
            optimizer.zero_grad()


def gan(every: int) -> None:
    """Two optimizers, the second stepped ``every`` so many times."""
    generator, critic = Net(), Net()
    first, second = SGD(critic.parameters(), 0.01), SGD(generator.parameters(), 0.01)
    first.closes = False
    for number, batch in enumerate(batches(DataLoader(Samples(2 * STEPS), batch_size=2))):
        with torch.no_grad():
            fake = generator(batch)
        backward((critic(batch) - critic(fake)).sum())
        first.step()
        if number % every == every - 1:
            backward(critic(generator(batch)).sum())
            second.step()


def lbfgs() -> None:
    """The optimizer calls forward and backward itself, as often as it likes."""
    model = Net()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.01, max_iter=3)
    for batch in batches(DataLoader(Samples(2 * STEPS), batch_size=2)):

        def closure(batch: torch.Tensor = batch) -> torch.Tensor:
            optimizer.zero_grad()
            loss = (TRUTH.timed("forward", model, batch) ** 2).sum()
            loss.backward()
            return loss

        TRUTH.count("micro_batches")  # however often the optimizer looks at it
        optimizer.step(closure)
        TRUTH.step()


def no_loader() -> None:
    """Batches made in the loop between forward and backward, evaluation and garbage collection by hand."""
    model = Net()
    optimizer = SGD(model.parameters(), 0.01)
    batch = torch.ones(2, 4)
    for number in range(STEPS):
        if number % 8 == 5:
            evaluate(model)
        if number % 6 == 2:
            TRUTH.timed("gc", gc.collect)
        loss = model(batch).sum()
        TRUTH.slept("other", 2 * SLEEP_S)
        batch = torch.ones(2, 4)
        backward(loss)
        optimizer.step()
        optimizer.zero_grad()


def zipped() -> None:
    """Two loaders at once."""
    model = Net()
    optimizer = SGD(model.parameters(), 0.01)
    labeled, unlabeled = (DataLoader(Samples(2 * STEPS), batch_size=2) for _ in range(2))
    for one, other in zip(batches(labeled), batches(unlabeled)):  # noqa: B905
        train_step(model, optimizer, torch.cat((one, other)))


def validation() -> None:
    """Validation every six steps, at the end of every epoch, and on the training data."""
    model = Net()
    optimizer = SGD(model.parameters(), 0.01)
    training, held_out = (DataLoader(Samples(n), batch_size=2) for n in (24, 6))
    for _ in range(3):
        for number, batch in enumerate(batches(training)):
            train_step(model, optimizer, batch)
            if number % 6 == 3:
                evaluate(model, held_out)
        evaluate(model, training)


def recomputation(reentrant: bool) -> None:
    """Activation checkpointing: the backward pass calls modules again."""
    model = nn.ModuleList([Net(), Net()])
    optimizer = SGD(model.parameters(), 0.01)
    for batch in batches(DataLoader(Samples(2 * STEPS), batch_size=2)):
        value = batch.requires_grad_()
        for block in model:
            value = checkpoint(block, value, use_reentrant=reentrant)
        with TRUTH.all_as("backward"):
            TRUTH.timed("backward", backward, value.sum())
        optimizer.step()
        optimizer.zero_grad()


def scaler() -> None:
    """Mixed precision's scaler, with gradients that overflow now and then."""
    model = Net()
    optimizer = SGD(model.parameters(), 0.01)
    optimizer.closes, optimizer.sleep = False, 2 * SLEEP_S  # the scaler's own work is the optimizer's, too
    scale = torch.amp.GradScaler("cpu", init_scale=2.0)
    for number, batch in enumerate(batches(DataLoader(Samples(2 * STEPS), batch_size=2))):
        loss = model(batch).sum() * (float("inf") if number in (5, 11) else 1.0)
        backward(scale.scale(loss))
        scale.step(optimizer)
        scale.update()
        optimizer.zero_grad()
        TRUTH.step()


def in_a_thread() -> None:
    """Everything in a thread that is not the main one."""
    thread = threading.Thread(target=plain)
    thread.start()
    thread.join()


def with_workers(make: Callable[[], DataLoader[Any]], epochs: int = 1) -> None:
    """Batches from worker processes."""
    model = Net()
    optimizer = SGD(model.parameters(), 0.01)
    loader = make()
    for _ in range(epochs):
        for batch in batches(loader):
            train_step(model, optimizer, batch)


def fused_backward() -> None:
    """An optimizer for each parameter, stepped by hooks while the backward pass runs."""
    model = Net()
    optimizers = {p: SGD([p], 0.01) for p in model.parameters()}

    def hook(parameter: torch.Tensor) -> None:
        optimizers[parameter].closes = False
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(hook)
    for batch in batches(DataLoader(Samples(2 * STEPS), batch_size=2)):
        value = TRUTH.timed("forward", model, batch)
        backward(
            Slow.apply(Slow.apply(value)).sum()
        )  # three sleeps, as what surrounds the steps is backward, too
        TRUTH.step()


def folds() -> None:
    """A new model, optimizer and loader three times over."""
    for _ in range(3):
        model = Net()
        optimizer = SGD(model.parameters(), 0.01)
        for batch in batches(DataLoader(Samples(16), batch_size=2)):
            train_step(model, optimizer, batch)
        if TRUTH.everything["steps"] < 24:
            evaluate(model, DataLoader(Samples(4), batch_size=2))


def by_hand() -> None:
    """No optimizer at all."""
    model = Net()
    for batch in batches(DataLoader(Samples(2 * STEPS), batch_size=2)):
        backward(TRUTH.timed("forward", model, batch).sum())
        TRUTH.step()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.01 * parameter.grad
                parameter.grad = None


class Plain(nn.Module):
    """Without sleeps, which a compiler could not see through."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        value = torch.relu(self.layer(value))
        torch._dynamo.graph_break()
        return value * 2


def compiled() -> None:
    """torch.compile with a graph break, and a second shape."""
    import torch._dynamo as dynamo

    model = torch.compile(Plain(), backend="aot_eager")
    optimizer = SGD(model.parameters(), 0.01)
    for number in range(STEPS):
        train_step(model, optimizer, torch.ones(2 if number < 6 else 3, 4))
    counters = {name: dict(counts) for name, counts in dynamo.utils.counters.items()}
    MORE.update(counters={n: counters.get(n, {}) for n in ("frames", "stats", "graph_break")})


MORE: dict[str, Any] = {}


def _loader(data: Any, workers: int, **more: Any) -> DataLoader[Any]:
    return DataLoader(data, batch_size=2, num_workers=workers, **more)


LOOPS: dict[str, Callable[[], None]] = {
    "plain": plain,
    "accumulation": accumulation,
    "gan": partial(gan, 1),
    "gan_3": partial(gan, 3),
    "lbfgs": lbfgs,
    "no_loader": no_loader,
    "zipped": zipped,
    "validation": validation,
    "recomputation": partial(recomputation, False),
    "recomputation_reentrant": partial(recomputation, True),
    "scaler": scaler,
    "thread": in_a_thread,
    "fused_backward": fused_backward,
    "folds": folds,
    "by_hand": by_hand,
    "compiled": compiled,
    # one worker needs 60 ms a batch and a step takes 30: two workers just keep up, one does not
    "iterable": partial(with_workers, partial(_loader, Stream(STEPS, 3 * SLEEP_S), 2)),
    "persistent": partial(
        with_workers, partial(_loader, Samples(16, 3 * SLEEP_S), 1, persistent_workers=True), 3
    ),
    "spawn": partial(
        with_workers, partial(_loader, Samples(32, 3 * SLEEP_S), 1, multiprocessing_context="spawn")
    ),
    "forkserver": partial(
        with_workers, partial(_loader, Samples(32, 3 * SLEEP_S), 1, multiprocessing_context="forkserver")
    ),
}


def run(name: str) -> None:
    """Run one loop and write what happened."""
    gc.disable()  # a collection may interrupt any phase: none but those a loop counts itself
    torch.manual_seed(0)
    LOOPS[name]()
    TRUTH.write(name, **MORE)


if __name__ == "__main__":
    import torch._dynamo  # optimizers import it: once for all children

    for name in sys.argv[1:] or LOOPS:
        child = multiprocessing.get_context("fork").Process(target=run, args=(name,))
        child.start()
        child.join()
        assert child.exitcode == 0, name
