"""Keeps a record small however long the run: everything at first, then ever fewer windows of spans."""

from __future__ import annotations

import os
import struct
import sys
from typing import Any

from . import kinds

_WINDOW = 1024  # spans kept or dropped together: tens of steps, so that whole steps are seen
_LONG_NS = 10_000_000  # spans this long are kept between windows, so that no stall is lost; doubles by level
_RARE = frozenset((kinds.SAVE, kinds.ITER, kinds.COMPILE, kinds.MARK, kinds.PAUSE, kinds.METRIC))
_MANY_PROCESSES = 64
_span = struct.Struct(kinds.SPAN)


class Thinning:
    """Decides what goes to disk. Level 0 keeps all; level k keeps one window in 2**k and all long spans.

    Each level may write its budget, then the next begins: the file grows with the logarithm of the run.
    24 MiB (600,000 spans, some 60,000 steps) of full detail and 2 MiB a level keep 10^6 steps under 64 MiB.
    """

    def __init__(self, child: bool) -> None:
        """Start at level 0; loader workers (``child``) get a smaller budget, as there are many of them."""
        self.child = child
        self.level = 0
        self.written = 0
        self.limit = (3 if child else 24) << 20
        self.step = (1 << 18) if child else (2 << 20)
        self.position = 0
        self.gap: list[int] | None = None

    def folder(self, run: str) -> str | None:
        """Return the folder for this process's file, or None where enough processes have one already.

        Loaders without persistent workers start new processes every epoch: after the first 64, only one in
        2, 3, ... more is recorded. Ranks always are, however many there are.
        """
        number = sum(1 for name in os.listdir(run) if name.startswith("p"))
        many = number >= _MANY_PROCESSES and not self._is_rank()
        if many and os.getpid() % (number // _MANY_PROCESSES + 1):
            return None
        return f"{run}/p{os.getpid()}-{os.urandom(4).hex()}"

    def _is_rank(self) -> bool:
        """Return whether this process is one of several ranks: a launcher said so, or it has joined a group."""
        if self.child:  # a forked worker inherits all signs of being one
            return False
        distributed: Any = sys.modules.get("torch.distributed.distributed_c10d")
        if distributed is not None and distributed.GroupMember.WORLD is not None:
            return True
        process: Any = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            return False
        return any(
            name in os.environ for name in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
        )

    def keep(self, payload: bytes) -> bytes:
        """Return the part of ``payload`` (whole spans) to write; may be empty."""
        if self.written > self.limit:
            self.level += 1
            self.limit = self.written + self.step
        if self.level == 0:
            return payload
        kept: list[bytes] = []
        for span in _span.iter_unpack(payload):
            if self.position % (_WINDOW << self.level) < _WINDOW:
                self._close_gap(kept)
                kept.append(_span.pack(*span))
            else:
                self._skip(span, kept)
            self.position += 1
        return b"".join(kept)

    def _skip(self, span: tuple[int, ...], kept: list[bytes]) -> None:
        """Drop ``span`` into the current gap, unless it is long or rare."""
        start, end, kind = span[0], span[1], span[2]
        if kind in _RARE or end - start >= _LONG_NS << self.level:
            kept.append(_span.pack(*span))
        if self.gap is None:
            self.gap = [start, end, 0]
        self.gap[0] = min(self.gap[0], start)
        self.gap[1] = max(self.gap[1], end)
        self.gap[2] += kind == kinds.OPTIMIZER

    def _close_gap(self, kept: list[bytes]) -> None:
        """Write the span that stands for what was dropped."""
        if self.gap is not None:
            start, end, steps = self.gap
            kept.append(_span.pack(start, end, kinds.GAP, 0, 0, 0, steps, 0))
            self.gap = None
