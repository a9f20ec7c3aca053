"""Sees every batch that torch's own loader iterators hand out, and may hand out another one in its place."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ..batches import ready_batches
from ..hooks import Hooks, dress

_LEAVES = 64  # tensors of one batch that are described; more make a batch no more recognisable
_DEPTH = 4

Original = Callable[[Any], Any]


class Loader:
    """What was seen of one loader during an order.

    Attributes:
        steps: Optimizer steps in which it delivered, without the resource removed.
        shapes: Shapes and dtypes of its batches, without [0] and with [1] the resource removed.
        sizes: Numbers of elements of its batches, likewise.
        ready: Batches that were ready when one was asked for, the latest last.
    """

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.steps = 0
        self.delivered = 0
        self.shapes: tuple[set[Any], set[Any]] = (set(), set())
        self.sizes: tuple[list[int], list[int]] = ([], [])
        self.ready: list[int] = []
        self.iterator: Callable[[], Any] = lambda: None


class Delivery:
    """The patch on ``_next_data`` of torch's two iterators."""

    def __init__(self, torch: Any, recorder: Any) -> None:
        """Patch nothing yet."""
        self.module = torch.utils.data.dataloader
        self.tensor = torch.Tensor
        self.recorder = recorder
        self.loaders: dict[int, Loader] = {}
        self.keys: dict[Any, int] = {}
        self.datasets: list[Any] = []
        self.ordinary = True
        self.counting = False
        self.steps = 0
        self.give: Callable[[Any, Original], Any] | None = None

    def install(self, hooks: Hooks) -> None:
        """Patch both iterators; subclasses with a ``_next_data`` of their own are not seen."""
        for name in ("_SingleProcessDataLoaderIter", "_MultiProcessingDataLoaderIter"):
            owner = getattr(self.module, name)
            hooks.patch(owner, "_next_data", self._seen(owner._next_data))

    def _seen(self, original: Original) -> Any:
        """Return ``original`` with its batches seen."""

        def _next_data(iterator: Any) -> Any:
            ready = ready_batches(iterator)
            give = self.give
            batch = original(iterator) if give is None else give(iterator, original)
            self.saw(iterator, batch, ready)
            return batch

        return dress(_next_data, original)

    def number(self, iterator: Any) -> int:
        """Return the number of the loader behind ``iterator``."""
        sampler, workers = iterator._index_sampler, iterator._num_workers
        return self._number(iterator._dataset, sampler, workers, iterator._collate_fn)

    def number_of(self, loader: Any) -> int:
        """Return the number of ``loader``, the same as that of its iterators."""
        return self._number(loader.dataset, loader._index_sampler, loader.num_workers, loader.collate_fn)

    def _number(self, dataset: Any, sampler: Any, workers: int, collate: Any) -> int:
        """Return the number of what gives the same batches: scripts make new loaders around one data set."""
        inner = type(getattr(sampler, "sampler", sampler)).__name__
        collate = getattr(collate, "__qualname__", type(collate).__name__)
        key = id(dataset), inner, getattr(sampler, "batch_size", None), workers, collate
        if key not in self.keys:
            self.keys[key] = len(self.keys) + 1
            self.datasets.append(dataset)  # so that no other one gets its id
        return self.keys[key]

    def saw(self, iterator: Any, batch: Any, ready: int = -1) -> None:
        """Note one batch. Never raises."""
        try:
            loader = self.loaders.setdefault(self.number(iterator), Loader())
            loader.delivered += 1
            loader.iterator = weakref.ref(iterator)
            if self.ordinary:
                loader.ready = [*loader.ready[-31:], ready]
            which = 0 if self.ordinary else 1
            shapes, size = describe(batch, self.tensor)
            if len(loader.shapes[which]) < 4096:
                loader.shapes[which].add(shapes)
            if self.counting:
                loader.sizes[which].append(size)
        except Exception as error:
            self.recorder.failed("ablation", error)

    def after_step(self) -> None:
        """Note that an optimizer step ended."""
        self.steps += self.ordinary
        for loader in self.loaders.values():
            loader.steps += bool(loader.delivered) and self.ordinary
            loader.delivered = 0

    def training(self) -> list[int]:
        """Return the numbers of the loaders that delivered in more than half of the steps seen.

        Evaluation asks its loader in some steps only; what most steps ask for belongs to the step.
        """
        found = [n for n, one in self.loaders.items() if one.steps * 2 > self.steps]
        return sorted(found) if self.steps else []


def describe(batch: Any, tensor: type) -> tuple[tuple[Any, ...], int]:
    """Return the shapes and dtypes in ``batch``, and its number of elements."""
    shapes: list[Any] = []
    size = 0
    for value in leaves(batch, tensor):
        shapes.append((tuple(value.shape), str(value.dtype)))
        size += value.numel()
        if len(shapes) >= _LEAVES:
            break
    return tuple(shapes), size


def leaves(value: Any, tensor: type, depth: int = 0) -> Any:
    """Yield the tensors inside containers."""
    if isinstance(value, tensor):
        yield value
    elif depth >= _DEPTH:
        return
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from leaves(one, tensor, depth + 1)
    elif hasattr(value, "items") and hasattr(value, "values"):
        for one in value.values():
            yield from leaves(one, tensor, depth + 1)
    elif hasattr(value, "__dict__"):
        for one in vars(value).values():
            yield from leaves(one, tensor, depth + 1)
