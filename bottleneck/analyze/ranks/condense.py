"""Reads thousands of ranks one at a time: each leaves a digest, and few are kept whole."""

from __future__ import annotations

from collections.abc import Iterable

from ...model.ranks import RankDigest
from ...model.record import ProcessRecord
from ..observed import observed
from .digest import MOST_CALLS, digest
from .roster import call
from .survey import compare

FEW = 64  # processes: so many are kept whole, and nothing is condensed before it is asked for
_CALLS = 6_000_000  # matched calls kept of all ranks together: 24 bytes each, some 150 MB
_LEAST_CALLS = 64  # of one rank, however many there are


class Condenser:
    """Condenses the processes of one run as they are read."""

    def __init__(self) -> None:
        """Start with none."""
        self._most = MOST_CALLS
        self._stride: int | None = None

    def expect(self, processes: int) -> bool:
        """Return whether so many processes have to be condensed; plan for them."""
        self._most = max(_LEAST_CALLS, min(MOST_CALLS, _CALLS // max(1, processes)))
        return processes > FEW

    def digest(self, process: ProcessRecord) -> RankDigest | None:
        """Return what is kept of a process that trained, None of any other."""
        found = digest(observed([process])[0], self._most, self._stride)
        if found is not None and self._stride is None and found.calls:
            self._stride = found.stride
        return found

    def keep(self, digests: Iterable[RankDigest]) -> tuple[str, ...]:
        """Return the keys of the ranks to keep whole: the first, the one the others wait for, and a usual one."""
        survey = compare(call(digests))
        ranks = survey.roster.digests
        if not ranks:
            return ()
        keys = [ranks[0].key]
        if survey.straggling is not None:
            keys += [ranks[survey.straggling.rank].key, ranks[survey.straggling.usual].key]
        return tuple(dict.fromkeys(keys))
