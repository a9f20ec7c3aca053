"""Workers, prefetching, pinning and order of the loaders that feed the training.

A loader is changed when it is asked for its batches, not when it is made: by then accelerate or Lightning have made
their own of it, and it shows what it is for. Loaders that are asked while no gradients are recorded evaluate and
stay as they are: workers that start for every short evaluation are not what the advice is about.
"""

from __future__ import annotations

import multiprocessing
import sys
import weakref
from typing import Any

from .. import late
from ..hooks import Hooks, dress
from . import datasets
from .base import Override, Place, Refused, Tell, by_library, where


class _State:
    """What is known of one loader.

    Attributes:
        place: Where the script made it.
        decided: Nothing is to be changed any more.
        before: The settings of the script that were replaced.
        attributes: Its data set when its lasting workers got their copies.
    """

    def __init__(self, place: Place) -> None:
        """Know only where it was made."""
        self.place = place
        self.decided = False
        self.before: dict[str, Any] = {}
        self.attributes: datasets.Snapshot = []


class Loader(Override):
    """Sets arguments of ``torch.utils.data.DataLoader``."""

    name = "loader"
    known = ("num_workers", "prefetch_factor", "persistent_workers", "pin_memory", "in_order")

    def check(self) -> None:
        """Read the settings."""
        self.wanted: dict[str, Any] = {
            "num_workers": self.whole("num_workers"),
            "prefetch_factor": self.whole("prefetch_factor", 1),
        }
        self.wanted |= {name: self.switch(name) for name in self.known[2:]}
        self.wanted = {name: value for name, value in self.wanted.items() if value is not None}
        if not self.wanted:
            raise Refused("loader: there is nothing to set")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Patch how loaders are made, to know where, and how they are asked for batches."""
        self.torch, self.tell = torch, tell
        self.states: weakref.WeakKeyDictionary[Any, _State] = weakref.WeakKeyDictionary()
        owner = torch.utils.data.DataLoader
        made, asked = owner.__init__, owner.__iter__

        def __init__(loader: Any, *args: Any, **kwargs: Any) -> None:
            made(loader, *args, **kwargs)
            tell.attempt(lambda: self._note(loader), None)

        def __iter__(loader: Any) -> Any:
            state = tell.attempt(lambda: self._decide(loader), None)
            if state is None or not state.before:
                return asked(loader)
            return self._ask(loader, state, asked)

        hooks.patch(owner, "__init__", dress(__init__, made))
        hooks.patch(owner, "__iter__", dress(__iter__, asked))

    def _note(self, loader: Any) -> None:
        """Note where a loader was made; one that a library makes of the script's has the place of that."""
        place = where()
        if by_library():
            same = [state.place for one, state in list(self.states.items()) if one.dataset is loader.dataset]
            place = same[0] if same else place
        self.states[loader] = _State(place)

    def _decide(self, loader: Any) -> _State | None:
        """Return what is known of the loader, changed now if it is first asked for training."""
        state = self.states.get(loader)
        if state is None:
            state = self.states[loader] = _State(where())
        if state.decided or not self.torch.is_grad_enabled():
            return state
        state.decided = True
        if self.torch.utils.data.get_worker_info() is None:
            self._change(loader, state)
        return state

    def _change(self, loader: Any, state: _State) -> None:
        """Set what differs and fits, and tell all of it at once."""
        for name, value in self.wanted.items():
            if getattr(loader, name, None) != value:
                self.tell.attempt(
                    lambda name=name, value=value: self._set(loader, state, name, value),  # type: ignore[misc]
                    None,
                    state.place,
                )
        if state.before:
            told = [
                f"{name} {before} -> {getattr(loader, name)}"
                for name, before in sorted(state.before.items(), key=lambda one: self.known.index(one[0]))
                if name in self.wanted
            ]
            self.tell.applied(", ".join(told), *state.place)

    def _set(self, loader: Any, state: _State, name: str, value: Any) -> None:
        """Set one argument. May raise ``Refused``."""
        getattr(self, "_check_" + name)(loader, value)
        if (
            name == "num_workers"
        ):  # what the constructor would do, or ask for, as libraries make loaders of loaders
            if value and loader.prefetch_factor is None:
                _put(loader, state, "prefetch_factor", 2)
            elif not value:
                _put(loader, state, "prefetch_factor", None)
                _put(loader, state, "persistent_workers", False)
        _put(loader, state, name, value)

    def _check_num_workers(self, loader: Any, value: int) -> None:
        """Refuse a number of workers that would change the data or break the loader."""
        stream = isinstance(loader.dataset, self.torch.utils.data.IterableDataset)
        several = stream and max(value, loader.num_workers) > 1
        if several and not datasets.is_sharded(loader.dataset, loader.worker_init_fn):
            raise Refused("the stream does not ask get_worker_info(): each worker would deliver all of it")
        if not value and (loader.timeout or loader.worker_init_fn):
            raise Refused("timeout and worker_init_fn need workers")
        if not loader.num_workers:
            self._check_first_worker(loader)

    def _check_first_worker(self, loader: Any) -> None:
        """Refuse workers where there were none and what they need is missing."""
        if multiprocessing.current_process().daemon:
            raise Refused("a daemonic process can't start workers")
        if datasets.holds_device_tensors(loader.dataset, self.torch):
            raise Refused("the data set holds tensors on the device, which workers can't use")
        if not loader.worker_init_fn and datasets.draws_itself(loader.dataset, self.torch):
            raise Refused("the data set holds a random generator: each worker would draw the same numbers")
        method = multiprocessing.get_start_method(allow_none=True)  # asked otherwise it is fixed from then on
        if (
            method or multiprocessing.get_all_start_methods()[0]
        ) != "fork" and not datasets.can_start_afresh():
            raise Refused('workers would run the script again: it has no `if __name__ == "__main__"`')

    def _check_prefetch_factor(self, loader: Any, value: int) -> None:
        """Refuse prefetching without workers."""
        if not loader.num_workers:
            raise Refused("prefetch_factor needs workers, and the loader has none")

    def _check_persistent_workers(self, loader: Any, value: bool) -> None:
        """Refuse workers that would never see the data set's next epoch."""
        if value and not loader.num_workers:
            raise Refused("persistent_workers needs workers, and the loader has none")
        if value and callable(getattr(loader.dataset, "set_epoch", None)):
            raise Refused("the data set has set_epoch(), which workers that stay would not see")

    def _check_pin_memory(self, loader: Any, value: bool) -> None:
        """Refuse pinning without a device to copy to, or of what is there already."""
        accelerator = getattr(
            self.torch, "accelerator", self.torch.cuda
        )  # torch before 2.6 pins for CUDA only
        if value and not accelerator.is_available():
            raise Refused("pin_memory needs an accelerator, and there is none")
        if value and datasets.holds_device_tensors(loader.dataset, self.torch):
            raise Refused("the data set holds tensors on the device, which can't be pinned")

    def _check_in_order(self, loader: Any, value: bool) -> None:
        """Refuse an order where there is none to choose."""
        if not hasattr(loader, "in_order"):
            raise Refused("this torch has no in_order")
        if loader.num_workers < 2:
            raise Refused("in_order matters with several workers only")

    def _ask(self, loader: Any, state: _State, asked: Any) -> Any:
        """Return the iterator of a loader that was changed."""
        if state.before.get("persistent_workers") is False and loader.persistent_workers:
            self.tell.attempt(lambda: self._keep_workers(loader, state), None, state.place)
        if state.before.get("num_workers") != 0:
            return asked(loader)
        generator = loader.generator if loader.generator is not None else self.torch.default_generator
        numbers = generator.get_state()
        try:
            return asked(loader)
        except Exception as error:  # mostly a data set that can't be pickled, where workers are spawned
            late.keep(error)
            generator.set_state(numbers)
            vars(loader).update(state.before, _iterator=None)
            state.before.clear()
            self.tell.refused(f"workers can't be started: {type(error).__name__}: {error}", *state.place)
            return asked(loader)

    def _keep_workers(self, loader: Any, state: _State) -> None:
        """Prepare the workers that stayed for their next pass, or let them go. May raise ``Refused``."""
        now = datasets.snapshot(loader.dataset)
        if loader._iterator is None:
            state.attributes = now
            return
        changed = datasets.changed(state.attributes, now)
        if changed or _is_held(loader):
            vars(loader).update(persistent_workers=False, _iterator=None)
            state.before.pop("persistent_workers")
            what = (
                f"{changed} of the data set changed between two passes, which workers that stay would not see"
            )
            raise Refused(what if changed else "the script runs two passes over the loader at a time")
        # A loader whose workers end draws their seed at every pass: without it the next order would be another.
        self.torch.empty((), dtype=self.torch.int64).random_(generator=loader.generator)


def _put(loader: Any, state: _State, name: str, value: Any) -> None:
    """Set one attribute and remember what the script had; the class forbids to set some once it is made."""
    state.before.setdefault(name, getattr(loader, name))
    vars(loader)[name] = value


def _is_held(loader: Any) -> bool:
    """Return whether somebody beside the loader holds its iterator, in the middle of a pass."""
    return loader._iterator._tasks_outstanding > 0 and _references(loader) > _references(_Probe())


def _references(loader: Any) -> int:
    """Return how many references the interpreter counts to the loader's iterator: it also counts some of ours."""
    iterator = loader._iterator
    return sys.getrefcount(iterator)


class _Probe:
    """An object whose iterator nobody else holds."""

    def __init__(self) -> None:
        """Make the iterator."""
        self._iterator = object()
