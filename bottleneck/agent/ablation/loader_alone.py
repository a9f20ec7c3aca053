"""Times the loader at its best: batches are taken as fast as they come, at one step's boundary."""

from __future__ import annotations

from typing import Any

from .. import kinds
from ..recorder import now
from .arm import Arm, Refused

_LEAST = 2  # batches that make a rate


class LoaderAlone(Arm):
    """Takes batches from the iterator the training itself reads: they are lost to it, as all after this is.

    Workers have had the whole step to fill their queue, so as many batches as they may prepare are not counted.
    With several ranks each takes the same number, so that epochs end alike.
    """

    single = True

    def carry_out(self) -> bool:
        """Take the batches and write the span."""
        number, iterator = self._find()
        waiting = getattr(iterator, "_prefetch_factor", None) or 0
        begin = now()
        skipped = self._take(iterator, waiting * getattr(iterator, "_num_workers", 0), begin)
        start = now()
        taken = self._take(iterator, int(self.setting.order.get("block", 20)), begin)
        end = now()
        if taken < _LEAST:
            raise Refused("the epoch ended before the loader could be timed")
        recorder = self.setting.recorder
        recorder.span(kinds.MARK, start, end, 0, recorder.name("loader_alone"), 1, taken)
        self._facts = {"loader": number, "taken": taken, "skipped": skipped}
        return True

    def facts(self) -> dict[str, Any]:
        """Return how many batches were taken."""
        return getattr(self, "_facts", {})

    def _find(self) -> tuple[int, Any]:
        """Return the loader that feeds the steps and its running iterator."""
        delivery = self.setting.delivery
        training = delivery.training()
        if not training:
            raise Refused("no torch DataLoader feeds the steps")
        if len(training) > 1:
            raise Refused(f"{len(training)} loaders feed the steps")
        iterator = delivery.loaders[training[0]].iterator()
        if iterator is None:
            raise Refused("the loader's pass over the data has just ended")
        return training[0], iterator

    def _take(self, iterator: Any, count: int, begin: int) -> int:
        """Take ``count`` batches, fewer where the epoch ends or time is up; return how many came."""
        limit = begin + float(self.setting.order.get("budget_s") or 60.0) * 1e9
        for taken in range(count):
            if self.setting.world == 1 and now() > limit:
                return taken
            try:
                iterator._next_data()
            except StopIteration:
                return taken
        return count
