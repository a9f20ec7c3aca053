"""Removes the input pipeline: the last real batches are handed out again, in turn.

The epoch keeps its length, so that all ranks still take the same number of steps. The sampler rests, too, as drawing
indices may be what is dear: the epoch ends when as many batches were handed out as the sampler says it has. One that
does not say is asked for an index for each batch. Workers are not told; their queue fills up and they rest, as they
would if batches cost nothing. When the pipeline is given back the queue is emptied to where it usually stood, else the
steps that follow would live on what was prepared before.
"""

from __future__ import annotations

import statistics
import weakref
from collections import deque
from typing import Any

from ..batches import ready_batches
from ..recorder import now
from .arm import Arm, Invalid, Refused, Setting
from .copies import Kept

_LEAST = 2  # batches in turn, where steps are so slow that few were seen
_FEW = 8  # batches in turn: enough to keep caches honest
_MANY = 64  # where batches differ in shape, so that their mean cost is met
_MOST_BYTES = 256 << 20  # of batches kept, of one loader
_MAP = 0  # _DatasetKind.Map
# Handing a batch out again rebuilds its containers, which takes as long as receiving it where these are thousands of
# Python objects. A twentieth of the step: less moves the step without the loader by no more than its usual interval.
_DEAR = 0.05
_ENOUGH = 5  # steps without the loader before that is judged, and after which it is judged again
_JUDGED = 101  # the last steps, of which the middle one counts: a thread that loses its core for 10 ms is no judgement


class _Pass:
    """What was done to one iterator."""

    def __init__(self) -> None:
        """Start with an iterator as it was made."""
        self.length: int | None = None
        self.skipped = 0  # batches of the epoch that were not made: others were handed out in their place
        self.thrown = 0  # batches that were made and not handed out
        self.exhausted = False
        self.is_full = False

    def skip(self, iterator: Any) -> bool:
        """Go one batch ahead in the epoch without asking the sampler; return False where its length is unknown.

        Raises:
            StopIteration: That was the last one.
        """
        if not self.skipped:
            self.length = _length(iterator._index_sampler)
        if self.length is None:
            return False
        self.end(iterator)
        self.skipped += 1
        return True

    def end(self, iterator: Any) -> None:
        """Raise StopIteration where an epoch of which batches were skipped has ended."""
        if self.length is not None and iterator._num_yielded >= self.length:
            raise StopIteration


def _length(sampler: Any) -> int | None:
    """Return how many batches ``sampler`` has in an epoch, None where it does not say."""
    try:
        return len(sampler)
    except Exception:  # a script's own class: whatever it raises, it does not say
        return None


class Turn:
    """The kept batches of one loader."""

    def __init__(self) -> None:
        """Start with none."""
        self.kept: deque[Kept] = deque(maxlen=_MANY)
        self.given: set[int] = set()
        self.next = 0

    def add(self, one: Kept) -> None:
        """Keep one more batch, and no more bytes than allowed."""
        self.kept.append(one)
        while len(self.kept) > _FEW and sum(each.bytes for each in self.kept) > _MOST_BYTES:
            self.kept.popleft()

    def settle(self, alike: bool) -> None:
        """Keep few batches where they are all of one shape."""
        while alike and len(self.kept) > _FEW:
            self.kept.popleft()

    def give(self) -> Any:
        """Return the next batch."""
        number = self.next % len(self.kept)
        self.next += 1
        self.given.add(number)
        return self.kept[number].give()


class Input(Arm):
    """Replays real batches."""

    def __init__(self, setting: Setting) -> None:
        """Start to collect batches with the first step."""
        super().__init__(setting)
        self.turns: dict[int, Turn] = {}
        self.passes: weakref.WeakKeyDictionary[Any, _Pass] = weakref.WeakKeyDictionary()
        self.problem: Refused | None = None
        self.chosen: list[int] = []
        self.handing_ns = self.without = self.since = 0  # handing out in this step; steps without the loader
        self.shares: deque[float] = deque(maxlen=_JUDGED)  # of handing out, of each of those

    def prepare(self) -> None:
        """Patch what makes iterators; batches are seen through ``delivery``."""
        self.setting.delivery.give = self._give
        loader_class = self.setting.torch.utils.data.DataLoader
        original = loader_class._get_iterator

        def _get_iterator(loader: Any) -> Any:
            turn = self._turn_of(loader)
            return original(loader) if turn is None else self._replay(loader, turn, original)

        self.setting.hooks.patch(loader_class, "_get_iterator", _get_iterator)

    def remove(self) -> None:
        """Hand out kept batches from now on."""
        if not self.chosen:
            self._choose()
        for one in self.passes.values():
            one.is_full = True
        super().remove()
        self.handing_ns, self.since = 0, now()

    def close(self) -> None:
        """Hand out real batches and forget the kept ones."""
        super().close()
        self.turns.clear()

    def facts(self) -> dict[str, Any]:
        """Return how many batches were replayed."""
        return {"replayed": sum(len(self.turns[n].kept) for n in self.chosen if n in self.turns)}

    def _choose(self) -> None:
        """Decide which loaders feed the step."""
        training = self.setting.delivery.training()
        if not training:
            raise Refused("no torch DataLoader feeds the steps")
        if self.problem is not None:
            raise self.problem
        for number in training:
            turn = self.turns.get(number)
            if turn is None or len(turn.kept) < _FEW:
                raise Refused(
                    f"fewer than {_FEW} batches were seen before the first block without the loader"
                )
            if any(one.is_changed() for one in turn.kept):
                raise Refused("batches are changed in place by the step")
            turn.settle(len(self.setting.delivery.loaders[number].shapes[0]) == 1)
        self.chosen = training
        for number in self.turns.keys() - set(training):
            del self.turns[number]

    def after_step(self, ordinary: bool) -> None:
        """Check that the step left the batches it was given as they were, and that giving them cost little."""
        start = now()
        for number in self.chosen:
            turn = self.turns[number]
            given, turn.given = turn.given, set()
            if any(turn.kept[each].is_changed() for each in given):
                raise Invalid("batches are changed in place by the step")
        self.handing_ns += now() - start
        if not ordinary:
            self._judge_handing_out()

    def _judge_handing_out(self) -> None:
        """Add a step without the loader.

        Raises:
            Invalid: Too much of such steps is our own work.
        """
        here = now()
        self.shares.append(self.handing_ns / max(1, here - self.since))
        self.handing_ns, self.since = 0, here
        self.without += 1
        if self.without % _ENOUGH == 0 and (part := statistics.median(self.shares)) > _DEAR:
            raise Invalid(
                f"batches of many Python objects are dear to hand out again ({100 * part:.0f} % of the step)"
            )

    def _again(self, turn: Turn) -> Any:
        """Return a kept batch, and note what that takes."""
        start = now()
        batch = turn.give()
        self.handing_ns += now() - start
        return batch

    def _give(self, iterator: Any, original: Any) -> Any:
        """Return the next batch of ``iterator``: a kept one while the pipeline is removed."""
        number = self.setting.delivery.number(iterator)
        if self.chosen and number not in self.chosen:
            return original(iterator)
        turn = self.turns.get(number)
        state = self.passes.get(iterator)
        if (
            state is None or not iterator._num_yielded
        ):  # workers that stay begin a new pass with the same iterator
            state = self.passes[iterator] = _Pass()
        if not self.removed or turn is None:
            self._empty(iterator, original, state, number)
            batch = self._pull(iterator, original, state, turn)
            if not self.chosen:
                self._collect(number, batch)
            return batch
        self._advance(iterator, original, state, turn)
        return self._again(turn)

    def _collect(self, number: int, batch: Any) -> None:
        """Keep one real batch."""
        if self.problem is None:
            try:
                self.turns.setdefault(number, Turn()).add(Kept(batch, self.setting.torch))
            except Refused as problem:
                self.problem = problem
            except Exception as error:  # a container that is made in a way of its own
                self.problem = Refused(f"batches of class {type(batch).__name__} can't be copied: {error}")

    def _pull(self, iterator: Any, original: Any, state: _Pass, turn: Turn | None) -> Any:
        """Return a real batch; a kept one at the end of an epoch that lacks some which were thrown away."""
        state.end(iterator)
        try:
            return original(iterator)
        except StopIteration:
            if state.thrown > state.skipped and turn is not None and turn.kept:
                state.thrown -= 1
                return turn.give()
            raise

    def _advance(self, iterator: Any, original: Any, state: _Pass, turn: Turn) -> None:
        """Go one batch ahead in the epoch without making one; StopIteration at its end."""
        if getattr(iterator, "_dataset_kind", _MAP) != _MAP:
            return  # a stream has no sampler to go ahead in: it stands still
        if state.skip(iterator):
            return
        if not state.exhausted:
            try:
                iterator._next_index()
                return
            except StopIteration:
                state.exhausted = True
        if not hasattr(iterator, "_task_info"):
            raise StopIteration
        self._pull(iterator, original, state, turn)  # asked for before: workers deliver what is under way

    def _empty(self, iterator: Any, original: Any, state: _Pass, number: int) -> None:
        """Throw away what workers prepared while nobody asked, down to what is usually ready."""
        if not state.is_full:
            return
        state.is_full = False
        seen = self.setting.delivery.loaders.get(number)
        usual = statistics.median(seen.ready) if seen is not None and seen.ready else 0
        while (excess := ready_batches(iterator)) > usual and excess > 0:
            try:
                original(iterator)
            except StopIteration:
                return
            state.thrown += 1

    def _turn_of(self, loader: Any) -> Turn | None:
        """Return the batches that stand for a new iterator of ``loader``, None where it is to be a real one."""
        if not self.removed or not loader.num_workers or loader.persistent_workers:
            return None
        if loader._dataset_kind != _MAP:
            return None
        return self.turns.get(self.setting.delivery.number_of(loader))

    def _replay(self, loader: Any, turn: Turn, original: Any) -> Any:
        """Return an iterator that starts no workers until it is asked for a real batch."""
        arm, delivery = self, self.setting.delivery

        class Replay(delivery.module._BaseDataLoaderIter):  # type: ignore[misc,name-defined]
            _real: Any = None
            _pass = _Pass()

            def _next_data(self) -> Any:
                if not self._pass.skip(self):
                    self._next_index()  # StopIteration ends the epoch
                if arm.removed:
                    batch = arm._again(turn)
                    delivery.saw(self, batch)
                    return batch
                if self._real is None:
                    self._real = original(loader)
                return self._real._next_data()

        return Replay(loader)
