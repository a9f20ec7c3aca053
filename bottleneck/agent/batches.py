"""Times how batches are made (in workers or in the training process) and how long the loop waits for them."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from . import kinds
from .hooks import Hooks, dress
from .late import LATE, give_back
from .model_calls import STATE
from .recorder import Recorder, now
from .transforms import Transforms


class Batches:
    """Hooks on the loader's iterator (the waiting side) and on the fetchers (the making side)."""

    def __init__(self, torch: Any, recorder: Recorder, hooks: Hooks) -> None:
        """Record with ``recorder``; transforms found later are patched through ``hooks``."""
        self.torch = torch
        self.recorder = recorder
        self.loaders: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self.iterators: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._last: Callable[[], Any] = lambda: self  # no iterator yet: never equal to one
        self._last_number = 0
        self.on_new: Callable[[], None] = lambda: None  # called when a loader is first used
        self.told: set[int] = set()
        self.count = 0
        self.transforms = Transforms(recorder, hooks)
        self.counters = ThreadCounters()

    def install(self, hooks: Hooks) -> None:
        """Patch the loader, the one ``__next__`` all its iterators share, and the two fetchers."""
        data = self.torch.utils.data
        self._patch_iter(hooks, data.DataLoader)
        self._patch_next(hooks, data.dataloader._BaseDataLoaderIter)
        self._patch_sampling(hooks, data.dataloader._BaseDataLoaderIter)
        fetch = data._utils.fetch
        self._patch_init(hooks, fetch._BaseDatasetFetcher)
        for fetcher in (fetch._MapDatasetFetcher, fetch._IterableDatasetFetcher):
            self._patch_fetch(hooks, fetcher)

    def _number(self, loader: Any) -> int:
        """Return the number of ``loader`` in this record, from 1; 0 where it can't be told apart."""
        try:
            number = self.loaders.get(loader)
            if number is None:
                self.count += 1
                number = self.loaders[loader] = self.count
            return number
        except TypeError:
            return 0

    def _number_of(self, iterator: Any) -> int:
        """Return the number of the loader ``iterator`` belongs to, 0 where its start was not seen."""
        if self._last() is iterator:
            return self._last_number
        try:
            self._last = weakref.ref(iterator)
        except TypeError:
            return 0
        self._last_number = self._registered(iterator)
        return self._last_number

    def _registered(self, iterator: Any) -> int:
        """Return the number that ``iterator`` was given when it was made, 0 where it has none or can't be a key."""
        try:
            return self.iterators.get(iterator, 0)
        except TypeError:
            return 0

    def _patch_iter(self, hooks: Hooks, loader_class: Any) -> None:
        """Time ``iter(loader)``: workers start here."""
        original, recorder = loader_class.__iter__, self.recorder

        def __iter__(loader: Any) -> Any:
            start = now()
            iterator = original(loader)
            end = now()
            try:
                number = self._number(loader)
                self.iterators[iterator] = number
                recorder.span(kinds.ITER, start, end, 0, 0, 0, number)
                if number not in self.told and len(self.told) < 64:
                    self.told.add(number)
                    self.on_new()
                    recorder.event("loader", **describe_loader(loader, number))
            except Exception as error:
                recorder.failed("loader", error)
            return iterator

        hooks.patch(loader_class, "__iter__", dress(__iter__, original))

    def _patch_next(self, hooks: Hooks, iterator_class: Any) -> None:
        """Time ``next(iterator)``: what the loop waits, and how many batches were ready when it asked."""
        original, recorder = iterator_class.__next__, self.recorder

        def __next__(iterator: Any) -> Any:
            if LATE.error is not None:
                give_back()
            ready = ready_batches(iterator) if hasattr(iterator, "_task_info") else -1
            flags = kinds.RAISED
            if getattr(iterator, "_num_yielded", 1) == 0:
                flags |= kinds.FIRST
            start = now()
            try:
                batch = original(iterator)
                flags &= ~kinds.RAISED
                return batch
            except StopIteration:
                flags = flags & ~kinds.RAISED | kinds.STOP
                raise
            finally:
                recorder.span(kinds.NEXT, start, now(), flags, 0, ready, self._number_of(iterator))

        hooks.patch(iterator_class, "__next__", dress(__next__, original))

    def _patch_sampling(self, hooks: Hooks, iterator_class: Any) -> None:
        """Time the drawing of a batch's indices, which the loop waits for, with workers or without."""
        original, recorder = iterator_class._next_index, self.recorder

        def _next_index(iterator: Any) -> Any:
            start = now()
            try:
                return original(iterator)
            finally:
                end = now()
                if end - start >= _LONG_DRAW_NS:
                    # An iterator that is being made draws, too, and has no number yet: nothing to remember.
                    recorder.span(kinds.SAMPLE, start, end, 0, 0, 0, self._registered(iterator))

        hooks.patch(iterator_class, "_next_index", dress(_next_index, original))

    def _patch_init(self, hooks: Hooks, fetcher_class: Any) -> None:
        """Wrap a fetcher's collate_fn, and find the transforms its data set applies.

        A fetcher is made where it works (in the worker), so nothing of this has to be picklable.
        """
        original, recorder = fetcher_class.__init__, self.recorder

        def __init__(fetcher: Any, dataset: Any, *args: Any, **kwargs: Any) -> None:
            original(fetcher, dataset, *args, **kwargs)
            try:
                fetcher.collate_fn = _timed_collate(fetcher.collate_fn, recorder)
                self.transforms.find(dataset)
            except Exception as error:
                recorder.failed("fetcher", error)

        hooks.patch(fetcher_class, "__init__", dress(__init__, original))

    def _patch_fetch(self, hooks: Hooks, fetcher_class: Any) -> None:
        """Time the making of a batch: wall clock, CPU of this thread, bytes read, waiting for a core."""
        original, recorder = fetcher_class.fetch, self.recorder
        counters, transforms = self.counters, self.transforms
        clock = time.thread_time_ns

        def fetch(fetcher: Any, index: Any) -> Any:
            outer, STATE.making_batch = STATE.making_batch, True
            looks, flags = counters.is_due(), kinds.RAISED
            before, cpu = (counters.read(), clock()) if looks else (None, 0)
            start = now()
            try:
                batch = original(fetcher, index)
                flags = 0
                return batch
            except StopIteration:
                flags = kinds.STOP
                raise
            finally:
                end = now()
                cpu, flags = (clock() - cpu, flags) if looks else (0, flags | kinds.UNCLOCKED)
                STATE.making_batch = outer
                samples = len(index) if isinstance(index, (list, tuple)) else 1
                recorder.span(kinds.BATCH, start, end, flags, 0, samples, cpu)
                counters.last_ns = end - start
                if before is not None:
                    self._record_counters(start, end, before)
                if transforms.costs:
                    transforms.flush(start, end)

        hooks.patch(fetcher_class, "fetch", dress(fetch, original))

    def _record_counters(self, start: int, end: int, before: tuple[int, int]) -> None:
        """Write what the thread read and how long it waited for a core while it made a batch."""
        after = self.counters.read()
        if after is not None:
            self.recorder.span(kinds.BATCH_IO, start, end, 0, 0, after[0] - before[0], after[1] - before[1])


def _timed_collate(collate: Callable[[Any], Any], recorder: Recorder) -> Callable[[Any], Any]:
    """Return ``collate`` between two readings of the clock."""

    def timed(samples: Any) -> Any:
        start = now()
        try:
            return collate(samples)
        finally:
            end = now()
            recorder.span(kinds.COLLATE, start, end, 0, 0, len(samples) if isinstance(samples, list) else 1)

    return dress(timed, collate)  # type: ignore[no-any-return]


def ready_batches(iterator: Any) -> int:
    """Return how many batches wait in the queue or out of order, -1 where there is no such queue."""
    tasks = getattr(iterator, "_task_info", None)
    if tasks is None:
        return -1
    try:
        waiting = sum(1 for task in tasks.values() if len(task) == 2)
        return waiting + int(iterator._data_queue.qsize())
    except Exception:  # qsize is not implemented on macOS
        return -1


def describe_loader(loader: Any, number: int) -> dict[str, Any]:
    """Return the settings of a loader that matter for speed. Never calls the data set."""
    from torch.utils.data import IterableDataset

    sampler = getattr(loader, "sampler", None)
    context = getattr(loader, "multiprocessing_context", None)
    return {
        "number": number,
        "workers": getattr(loader, "num_workers", 0),
        "batch_size": getattr(loader, "batch_size", None),
        "batch_sampler": type(getattr(loader, "batch_sampler", None)).__name__,
        "prefetch_factor": getattr(loader, "prefetch_factor", None),
        "pin_memory": bool(getattr(loader, "pin_memory", False)),
        "persistent_workers": bool(getattr(loader, "persistent_workers", False)),
        "in_order": bool(getattr(loader, "in_order", True)),
        "iterable": isinstance(loader.dataset, IterableDataset),
        "dataset": type(loader.dataset).__name__,
        "sampler": type(sampler).__name__,
        "collate_fn": getattr(loader.collate_fn, "__name__", type(loader.collate_fn).__name__),
        "start_method": context.get_start_method() if context is not None else None,
    }


_LONG_DRAW_NS = 20_000  # a span costs 1 us: at most a twentieth of what it tells
_SLOW_NS = 2_000_000  # reading clocks and counters costs 10 us: half a percent of a batch this slow


class ThreadCounters(threading.local):
    """Bytes read by the calling thread, and nanoseconds it waited for a core: Linux's counters, kept open.

    Local to each thread, as threads make batches at the same time and end at any moment.
    """

    def __init__(self) -> None:
        """Open nothing yet: workers do so after the fork."""
        self._files: _CounterFiles | None = None
        self._turn = 0
        self.last_ns = _SLOW_NS  # what the batch before took to make

    def is_due(self) -> bool:
        """Return whether to look at this batch: at each that is slow to make, at one in sixteen fast ones."""
        self._turn += 1
        return self.last_ns >= _SLOW_NS or self._turn % 16 == 0

    def read(self) -> tuple[int, int] | None:
        """Return (bytes read, ns waited for a core) so far, or None where the system does not tell."""
        try:
            if self._files is None or self._files.pid != os.getpid():  # inherited by a fork: another thread's
                self._files = _CounterFiles()
            return self._files.read()
        except (OSError, ValueError, IndexError):
            return None


class _CounterFiles:
    """The two open files of one thread; they close when the thread ends and lets go of them."""

    def __init__(self) -> None:
        """Open them; where there are none, reading gives None from now on."""
        self.pid = os.getpid()
        self.fds: list[int] = []
        self.identities: dict[int, tuple[int, int]] = {}
        for name in ("io", "schedstat"):
            try:
                fd = os.open("/proc/thread-self/" + name, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return
            self.fds.append(fd)
            self.identities[fd] = _identity(fd)

    def read(self) -> tuple[int, int] | None:
        """Return (bytes read, ns waited for a core) so far; OSError or ValueError where they are not ours."""
        if len(self.fds) < 2:
            return None
        text = os.pread(self.fds[0], 64, 0)
        waited = os.pread(self.fds[1], 64, 0).split()
        return int(text[7 : text.index(b"\n")]), int(waited[1])

    def __del__(self) -> None:
        """Close what is still ours: a script that closes every descriptor reuses the numbers."""
        for fd, identity in self.identities.items():
            try:
                if _identity(fd) == identity:
                    os.close(fd)
            except OSError:
                continue


def _identity(fd: int) -> tuple[int, int]:
    """Return what tells an open file from another one under the same number."""
    state = os.fstat(fd)
    return state.st_dev, state.st_ino
