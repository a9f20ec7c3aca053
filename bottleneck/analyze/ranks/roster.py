"""Which ranks there should be, which were seen, and what became of the others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...model.ranks import RankDigest

_BEHIND = (
    0.02  # of the steps: ranks that are stopped at one step differ by none, those killed together by few
)
_LEAST_BEHIND = 3
_NAMED = 8  # ranks listed one by one in a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The ranks of one attempt.

    Attributes:
        digests: One per rank, by rank.
        attempt: Which attempt of an elastic launcher this is.
        attempts: Attempts seen.
        expected: Ranks there should be.
        missing: Ranks that left no record at all.
        idle: Ranks that started but took no step.
        dead: Ranks that ended well before the others, with the steps each took.
        crashed: Ranks that came to no orderly end where others did, with the steps each took: peers of a rank that
            dies often fail in the same step, so that no rank is behind.
        steps: Most steps of any rank.
        others: Steps of the longest rank in each other attempt.
    """

    digests: tuple[RankDigest, ...]
    attempt: int = 0
    attempts: tuple[int, ...] = ()
    expected: int = 1
    missing: tuple[int, ...] = ()
    idle: tuple[int, ...] = ()
    dead: tuple[tuple[int, int], ...] = ()
    crashed: tuple[tuple[int, int], ...] = ()
    steps: int = 0
    others: tuple[tuple[int, int], ...] = ()

    def sentences(self) -> tuple[str, ...]:
        """Return what a reader has to know about ranks that are not in the answer, one sentence each."""
        found = []
        if self.expected > len(self.digests):
            found.append(
                f"The answer rests on {len(self.digests)} of {self.expected} ranks; the others were not seen."
            )
        if self.missing:
            found.append(f"{_ranks(self.missing)} left no record: never started, or the files are missing.")
        if self.idle:
            found.append(f"{_ranks(self.idle)} started but took no step.")
        for rank, steps in self.dead[:_NAMED]:
            found.append(
                f"Rank {rank} ended after {steps} steps, the others took {self.steps}: it died or hung."
            )
        if len(self.dead) > _NAMED:
            found.append(f"{len(self.dead) - _NAMED} more ranks ended before the others.")
        if self.crashed:
            ranks, steps = _ranks([rank for rank, _ in self.crashed]), self.crashed[0][1]
            found.append(
                f"{ranks} broke off after {steps} steps, as by a crash or a kill; others ended by themselves."
            )
        if self.others:
            told = ", ".join(f"attempt {attempt} with {steps} steps" for attempt, steps in self.others)
            found.append(
                f"The launcher restarted the job; this is attempt {self.attempt}. Not part of it: {told}."
            )
        return tuple(found)


def call(digests: Iterable[RankDigest], present: Iterable[int] = ()) -> Roster:
    """Return the roster of the attempt that took most steps, the latest of equals.

    Args:
        digests: Of every process that trained.
        present: Ranks of all processes that left a record, whether they trained or not.
    """
    digests = list(digests)
    taken: dict[int, int] = {}
    longest: dict[int, int] = {}
    for digest in digests:
        taken[digest.attempt] = taken.get(digest.attempt, 0) + digest.steps
        longest[digest.attempt] = max(longest.get(digest.attempt, 0), digest.steps)
    if not taken:
        return Roster(digests=())
    attempt = max(taken, key=lambda number: (taken[number], number))
    ours = _by_rank([digest for digest in digests if digest.attempt == attempt])
    expected = max([digest.world or 1 for digest in ours] + [len(ours)])
    seen = {digest.rank for digest in ours if digest.rank is not None}
    absent = [rank for rank in range(expected) if rank not in seen] if seen else []
    started = set(present)
    most = max(digest.steps for digest in ours)
    behind = max(_LEAST_BEHIND, int(_BEHIND * most))
    dead = [(d.rank, d.steps) for d in ours if d.rank is not None and most - d.steps > behind]
    orderly = any(d.ended for d in ours)
    broken = [(d.rank, d.steps) for d in ours if d.rank is not None and orderly and not d.ended]
    return Roster(
        digests=tuple(ours),
        attempt=attempt,
        attempts=tuple(sorted(taken)),
        expected=expected,
        missing=tuple(rank for rank in absent if rank not in started),
        idle=tuple(rank for rank in absent if rank in started),
        dead=tuple(dead),
        crashed=tuple(one for one in broken if one not in dead),
        steps=most,
        others=tuple((number, longest[number]) for number in sorted(taken) if number != attempt),
    )


def _by_rank(digests: Sequence[RankDigest]) -> list[RankDigest]:
    """Return one digest per rank, that with most steps, in order; processes without a rank are all kept."""
    best: dict[int, RankDigest] = {}
    plain = [digest for digest in digests if digest.rank is None]
    for digest in digests:
        if digest.rank is not None and (digest.rank not in best or digest.steps > best[digest.rank].steps):
            best[digest.rank] = digest
    return [best[rank] for rank in sorted(best)] or plain


def _ranks(ranks: Sequence[int]) -> str:
    """Return "Rank 3", "Ranks 3 and 5" or "Ranks 3, 5, 7 and 12 more"."""
    if len(ranks) == 1:
        return f"Rank {ranks[0]}"
    if len(ranks) > _NAMED:
        return f"Ranks {', '.join(map(str, ranks[:_NAMED]))} and {len(ranks) - _NAMED} more"
    return f"Ranks {', '.join(map(str, ranks[:-1]))} and {ranks[-1]}"
