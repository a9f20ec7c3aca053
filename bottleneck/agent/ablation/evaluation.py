"""Removes most of evaluation: a pass over a loader that does not train ends after its first batch.

The end of a pass is what every loop is ready for; where a script counts batches itself (``next``), it is refused.
One batch stays, so that what follows the pass finds a result; ``facts`` tell of how many batches that is one.
"""

from __future__ import annotations

import dis
import sys
import weakref
from types import CodeType
from typing import Any

from .. import PACKAGE
from .arm import Arm, Refused, Setting
from .copies import Kept

# Libraries that take batches with next() and are ready for the end of the pass.
_READY = ("torch", "lightning", "pytorch_lightning", "lightning_fabric", "accelerate", "transformers", "tqdm")


class Pass:
    """What was seen of one loader that does not train.

    Attributes:
        passes: Passes that were seen from their first batch on.
        batches: Batches in them.
        kept: The batch that stands for a pass.
    """

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.passes = self.batches = 0
        self.kept: Kept | None = None


class Evaluation(Arm):
    """Shortens passes over loaders that deliver in a few steps only."""

    def __init__(self, setting: Setting) -> None:
        """Start to look at passes with the first step."""
        super().__init__(setting)
        self.seen: dict[int, Pass] = {}
        self.problem = ""
        self.chosen: set[int] = set()
        self.begun: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    def prepare(self) -> None:
        """Look at every batch, and at every new iterator."""
        self.setting.delivery.give = self._give
        loader_class = self.setting.torch.utils.data.DataLoader
        original = loader_class._get_iterator

        def _get_iterator(loader: Any) -> Any:
            number = self.setting.delivery.number_of(loader)
            if not self.removed or number not in self.chosen or loader.persistent_workers:
                return original(loader)
            return self._short(loader, self.seen[number])

        self.setting.hooks.patch(loader_class, "_get_iterator", _get_iterator)

    def remove(self) -> None:
        """End passes early from now on."""
        if not self.chosen:
            training = set(self.setting.delivery.training())
            self.chosen = {
                number for number, one in self.seen.items() if number not in training and one.passes
            }
        if not self.chosen:
            raise Refused("no evaluation over a loader of its own was seen")
        if self.problem:
            raise Refused(self.problem)
        super().remove()

    def facts(self) -> dict[str, Any]:
        """Return how many passes were seen as they are, and how many batches they had."""
        found = [self.seen[number] for number in self.chosen]
        return {"passes": sum(one.passes for one in found), "pass_batches": sum(one.batches for one in found)}

    def _give(self, iterator: Any, original: Any) -> Any:
        """Return the next batch, or end the pass."""
        number = self.setting.delivery.number(iterator)
        count = self.begun[iterator] = self.begun.get(iterator, 0) + 1
        if self.removed:
            if number in self.chosen and getattr(iterator, "_num_yielded", 0) > 0:
                raise StopIteration
            return original(iterator)
        batch = original(iterator)
        if getattr(iterator, "_num_yielded", 0) == 0 or count > 1:
            self._note(number, batch, getattr(iterator, "_num_yielded", 0) == 0)
        return batch

    def _note(self, number: int, batch: Any, first: bool) -> None:
        """Note one batch of a pass as it is."""
        one = self.seen.setdefault(number, Pass())
        one.passes += first
        one.batches += 1
        if number in self.setting.delivery.training():
            return
        if first and one.kept is None:
            try:
                one.kept = Kept(batch, self.setting.torch)
            except Refused:
                self.problem = self.problem or "batches of the evaluation can't be copied"
            if not _is_looped():
                self.problem = "the evaluation counts its batches itself"

    def _short(self, loader: Any, one: Pass) -> Any:
        """Return an iterator that gives one batch and starts no workers."""

        class Short(self.setting.delivery.module._BaseDataLoaderIter):  # type: ignore[misc,name-defined]
            def _next_data(self) -> Any:
                if self._num_yielded or one.kept is None:
                    raise StopIteration
                return one.kept.give()

        return Short(loader)


def _is_looped() -> bool:
    """Return whether the batch is asked for by a ``for`` loop, or by a library that expects the end of a pass."""
    frame = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if not name.startswith((PACKAGE, "torch.utils.data", "torch.autograd", "torch._", "contextlib")):
            return name.split(".")[0] in _READY or _at_loop(frame.f_code, frame.f_lasti)
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _at_loop(code: CodeType, offset: int) -> bool:
    """Return whether the instruction that runs at ``offset`` is that of a ``for``."""
    return any(one.offset == offset and one.opname == "FOR_ITER" for one in dis.get_instructions(code))
