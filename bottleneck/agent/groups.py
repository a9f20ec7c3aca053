"""Numbers the process groups of this process, and the collectives on each."""

from __future__ import annotations

import weakref
import zlib
from typing import Any

from .recorder import Recorder

_LISTED = 64  # ranks of a group that are written out; larger groups are told apart by a checksum of theirs
_MOST = 0xFFFF  # the number of a group takes 16 bits of a span's second argument


class Groups:
    """The groups seen so far.

    A span of a collective carries ``sequence << 16 | group`` so that the same call is found on other ranks even
    where a long record has gaps.
    """

    def __init__(self, c10d: Any, recorder: Recorder) -> None:
        """Number groups of ``c10d`` (torch.distributed.distributed_c10d) from 1."""
        self.c10d = c10d
        self.recorder = recorder
        self.known: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self.next: list[int] = [0]

    def tag(self, group: Any) -> int:
        """Return what to write for the next collective on ``group``; 0 where it can't be told."""
        if group is None or group is self.c10d.GroupMember.WORLD:
            group = self.c10d.GroupMember.WORLD
            if group is None:
                return 0
        number = self.known.get(group)
        return self.next_on(self._number(group) if number is None else number)

    def next_on(self, number: int) -> int:
        """Return what to write for the next collective on the group with this number."""
        sequence = self.next[number]
        self.next[number] = sequence + 1
        return sequence << 16 | number

    def _number(self, group: Any) -> int:
        """Number a new group and tell who is in it."""
        if len(self.next) > _MOST:
            return 0
        number = self.known[group] = len(self.next)
        self.next.append(0)
        try:
            self._tell(group, number)
        except Exception as error:
            self.recorder.failed("groups", error)
        return number

    def _tell(self, group: Any, number: int) -> None:
        """Write name, backend and members of a group."""
        c10d = self.c10d
        world = group is c10d.GroupMember.WORLD
        ranks = sorted(c10d.get_process_group_ranks(group))
        self.recorder.event(
            "group",
            number=number,
            name=str(c10d._world.pg_names.get(group, "")),
            label=str(getattr(group, "group_desc", "") or ""),
            backend=str(c10d.get_backend(group)),
            world=world,
            size=len(ranks),
            first=ranks[0] if ranks else 0,
            ranks=ranks if len(ranks) <= _LISTED else None,
            members=zlib.crc32(",".join(map(str, ranks)).encode()),
            rank=int(c10d.get_rank()),
        )
