"""Parts of small trainings that sleep where a phase of a step should be, and count what really happened.

Every sleep is timed where it is slept, so the counts and seconds owe nothing to the tool under test.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

torch.set_num_threads(1)
SLEEP_S = 0.010  # fifty times what the tiny model around it computes


class Truth:
    """What happened in this process up to its last optimizer step."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.everything: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.until_last_step: dict[str, float] = {}
        self.steps: list[dict[str, float]] = []
        self.instead: str | None = None

    def slept(self, phase: str, seconds: float = SLEEP_S) -> None:
        """Sleep, and book what it took under ``phase``, or under what everything is booked at present."""
        self.timed(phase, time.sleep, seconds)

    def timed(self, phase: str, call: Callable[..., Any], *args: Any) -> Any:
        """Return ``call(*args)`` and book what it took; what is booked within it is its own."""
        before, start = sum(self.seconds.values()), time.perf_counter()
        try:
            return call(*args)
        finally:
            took = time.perf_counter() - start
            within = sum(self.seconds.values()) - before
            self.seconds[self.instead or phase] += took - within

    @contextmanager
    def all_as(self, phase: str) -> Iterator[None]:
        """Book everything within under ``phase``."""
        outer, self.instead = self.instead, phase
        try:
            yield
        finally:
            self.instead = outer

    def count(self, what: str) -> None:
        """Count one event."""
        self.everything[what] += 1

    def step(self) -> None:
        """Close a step: only what happened by then is compared."""
        self.count("steps")
        self.until_last_step = dict(self.everything)
        self.steps.append(dict(self.seconds))

    def forget(self) -> None:
        """Drop what happened before training proper."""
        self.everything.clear()
        self.seconds.clear()

    def write(self, name: str, **more: Any) -> None:
        """Write the truth to the folder in TRUTH: counts, and the seconds so far at the end of each step."""
        truth = {"pid": os.getpid(), "counts": self.until_last_step, "seconds": self.steps, **more}
        (Path(os.environ["TRUTH"]) / f"{name}.json").write_text(json.dumps(truth), encoding="utf-8")


TRUTH = Truth()


class Slow(torch.autograd.Function):
    """Nothing forward, a sleep backward."""

    @staticmethod
    def forward(context: Any, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        TRUTH.slept("backward")
        return gradient


class Net(nn.Module):
    """Sleeps forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        TRUTH.slept("forward")
        return Slow.apply(self.layer(value))


class SGD(torch.optim.SGD):
    """Sleeps in its step, and knows that it closes the training step."""

    closes = True
    sleep = SLEEP_S

    def step(self, closure: Any = None) -> Any:
        result = super().step(closure)
        TRUTH.slept("optimizer", self.sleep)
        if self.closes:
            TRUTH.step()
        return result


class Samples(Dataset[torch.Tensor]):
    """Sleeps for every sample."""

    def __init__(self, length: int, sleep: float = SLEEP_S / 2) -> None:
        self.length, self.sleep = length, sleep

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        TRUTH.slept("data_wait", self.sleep)
        return torch.ones(4)


class Stream(IterableDataset[torch.Tensor]):
    """Sleeps for every sample; each worker makes its own."""

    def __init__(self, length: int, sleep: float = SLEEP_S / 2) -> None:
        self.length, self.sleep = length, sleep

    def __iter__(self) -> Iterator[torch.Tensor]:
        for _ in range(self.length):
            time.sleep(self.sleep)
            yield torch.ones(4)


class SlowState:
    """Sleeps while it is pickled into a checkpoint."""

    def __reduce__(self) -> Any:
        TRUTH.slept("checkpoint", 5 * SLEEP_S)
        return (dict, ())


class SlowHandler(logging.Handler):
    """Sleeps for every record."""

    def emit(self, record: logging.LogRecord) -> None:
        TRUTH.slept("logging")


def batches(loader: DataLoader[Any]) -> Iterator[Any]:
    """Yield the batches of a loader with workers, the waits booked: the sleeps are in other processes."""
    iterator = TRUTH.timed("data_wait", iter, loader)
    while True:
        try:
            batch = TRUTH.timed("data_wait", next, iterator)
        except StopIteration:
            return
        yield batch


def backward(loss: torch.Tensor) -> None:
    """Run the backward pass of one micro-batch."""
    TRUTH.count("micro_batches")
    loss.backward()


def evaluate(model: nn.Module, loader: DataLoader[Any] | None = None) -> None:
    """Evaluate as most scripts do; two batches out of thin air where there is no loader."""

    def predict() -> None:
        for batch in loader if loader is not None else (torch.ones(2, 4),) * 2:
            model(batch)

    TRUTH.count("evaluations")
    model.eval()
    with torch.no_grad(), TRUTH.all_as("evaluation"):
        TRUTH.timed("evaluation", predict)
    model.train()


def save(model: nn.Module, name: str) -> None:
    """Save a checkpoint."""
    TRUTH.count("checkpoints")
    state = {"model": model.state_dict(), "slow": SlowState()}
    TRUTH.timed("checkpoint", torch.save, state, Path(os.environ["TRUTH"]) / name)
