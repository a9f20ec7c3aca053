"""Which rank the others wait for, since when, always or by turns, and what it does meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...model.ranks import RankDigest
from .arrivals import Meeting
from .exchange import meets

Floats = npt.NDArray[np.float64]

# Phases by what a reader can do about them.
CAUSES: Mapping[str, tuple[str, ...]] = {
    "input": ("data_wait",),
    "compute": ("forward", "backward", "optimizer"),
    "chores": ("checkpoint", "evaluation", "logging"),
    "gc": ("gc",),
    "other": ("other", "sync", "h2d"),
}
_STRETCHES = 48  # of the run, as in the heat map
_LATE = 0.5  # of its usual lateness: a stretch with less is one in which the rank was not slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Straggling:
    """What late ranks cost.

    Attributes:
        constant_s: Seconds per step that the latest rank is behind the usual one on average.
        random_s: Seconds per step on top of that because now one, now another is last and has a reason to be: what
            chance costs machines that all do the same work is not in it.
        rank: Index of the latest digest.
        usual: Index of a rank in the middle.
        last_frac: Share of the calls to which that rank came last.
        since_frac: How far into the run it became late, 0-1; 0 from the start on.
        causes: Share of the extra time by cause; they sum to one where any was found.
        host: All ranks of its host are late, and no others.
        lateness_s: Mean seconds per step each member came after the usual one, shape (members,).
        members: Their digests' indices.
    """

    constant_s: float
    random_s: float
    rank: int
    usual: int
    last_frac: float
    since_frac: float
    causes: Mapping[str, float]
    host: bool
    lateness_s: Floats
    members: npt.NDArray[np.int64]

    @property
    def cost_s(self) -> float:
        """Return what each step would be shorter if all ranks were like the usual one."""
        return self.constant_s + self.random_s

    @property
    def is_constant(self) -> bool:
        """Return whether more is lost to one rank than to ranks taking turns."""
        return self.constant_s >= self.random_s


def find(meetings: Sequence[Meeting], digests: Sequence[RankDigest]) -> Straggling | None:
    """Return the costliest straggling of all groups, None where no two ranks met."""
    found = [_in(meeting, digests) for meeting in meetings]
    return max(found, key=lambda one: one.cost_s, default=None)


def _in(meeting: Meeting, digests: Sequence[RankDigest]) -> Straggling:
    """Return the straggling in one group."""
    arrival = meeting.arrival_s
    late = arrival - lower_median(arrival)
    per_step = _calls_per_step(meeting, digests)
    means = np.nanmean(late, axis=1)
    order = np.argsort(means, kind="stable")
    usual, worst = int(order[(len(order) - 1) // 2]), int(order[-1])
    constant = float(means[worst] - means[usual])
    longest = float(np.nanmean(np.nanmax(late, axis=0)))
    last = np.nanargmax(np.where(np.isnan(late), -np.inf, late), axis=0) == worst
    number = int(meeting.members[worst])
    steady = max(0.0, constant)
    by_turns = _turns(meeting, digests)
    turns = max(0.0, longest - float(means[worst])) * _with_reason(by_turns, meeting, digests)
    return Straggling(
        constant_s=steady * per_step,
        random_s=turns * per_step,
        rank=number,
        usual=int(meeting.members[usual]),
        last_frac=float(np.mean(last)),
        since_frac=_since(late[worst]),
        causes=_causes(number, digests) if steady >= turns else by_turns,
        host=_is_host(number, means, meeting, digests),
        lateness_s=(means - means[usual]) * per_step,
        members=meeting.members,
    )


def lower_median(matrix: Floats) -> Floats:
    """Return the middle value of each column, the smaller of two: of two ranks the faster is the usual one."""
    ordered = np.sort(matrix, axis=0)  # NaN last
    known = np.count_nonzero(~np.isnan(matrix), axis=0)
    middle: Floats = ordered[np.maximum(known - 1, 0) // 2, np.arange(matrix.shape[1])]
    return middle


def _calls_per_step(meeting: Meeting, digests: Sequence[RankDigest]) -> float:
    """Return how many of the group's calls, all of them and not only those kept, a step has."""
    digest = digests[int(meeting.members[0])]
    return sum(
        each[0] for (name, group), each in digest.volume.items() if group == meeting.group and meets(name)
    )


def _since(late: Floats) -> float:
    """Return how far into the run, 0-1, a rank became late: from there on it is so in most stretches."""
    late = late[~np.isnan(late)]
    if len(late) < _STRETCHES:
        return 0.0
    edges = np.linspace(0, len(late), _STRETCHES + 1).astype(np.int64)
    means = np.add.reduceat(late, edges[:-1]) / np.diff(edges)
    slow = means > _LATE * np.percentile(means, 80)
    after = np.cumsum(slow[::-1])[::-1] / np.arange(len(slow), 0, -1)
    before = np.concatenate(([0.0], np.cumsum(slow)[:-1] / np.arange(1, len(slow))))
    changes = (
        slow & (after >= 0.8) & (before <= 0.2)
    )  # late in four of five stretches after, in one of five before
    if slow.mean() >= 0.8 or not changes.any():
        return 0.0
    return float(np.flatnonzero(changes)[0]) / len(slow)


def _causes(rank: int, digests: Sequence[RankDigest]) -> Mapping[str, float]:
    """Return what the extra time of a rank is made of, against the middle of all ranks in each phase."""
    extra = {}
    for cause, phases in CAUSES.items():
        times = np.sort([sum(d.parts_s.get(phase, 0.0) for phase in phases) for d in digests])
        own = sum(digests[rank].parts_s.get(phase, 0.0) for phase in phases)
        extra[cause] = max(0.0, own - float(times[(len(times) - 1) // 2]))
    whole = sum(extra.values())
    return {cause: seconds / whole for cause, seconds in extra.items()} if whole > 0 else {}


def _turns(meeting: Meeting, digests: Sequence[RankDigest]) -> Mapping[str, float]:
    """Return which phases make the steps of a rank differ from one another, mean over the ranks."""
    members = [digests[int(member)] for member in meeting.members]
    shares = {
        cause: max(0.0, float(np.mean([sum(d.varies.get(phase, 0.0) for phase in phases) for d in members])))
        for cause, phases in CAUSES.items()
    }
    whole = sum(shares.values())
    return {cause: share / whole for cause, share in shares.items()} if whole > 0 else {}


def _with_reason(by_turns: Mapping[str, float], meeting: Meeting, digests: Sequence[RankDigest]) -> float:
    """Return the share of the waiting by turns that would go with its reason.

    A batch that is more work takes longer forward and backward alike; what only one of them notices is the machine's
    noise, which no change of the training takes away. Waiting grows with the standard deviation, so of the variance's
    share s that has a reason 1 - sqrt(1 - s) of the waiting hangs on it.
    """
    alike = float(np.mean([digests[int(member)].passes_alike for member in meeting.members]))
    noise = by_turns.get("compute", 0.0) * (1.0 - alike)
    return 1.0 - float(np.sqrt(noise))


def _is_host(rank: int, means: Floats, meeting: Meeting, digests: Sequence[RankDigest]) -> bool:
    """Return whether the ranks of one host, two at least, and no others are late."""
    hosts = np.array([digests[int(member)].host for member in meeting.members])
    here = hosts == digests[rank].host
    if np.count_nonzero(here) < 2 or here.all():
        return False
    half = (means.max() + float(np.median(means[~here]))) / 2
    return bool((means[here] > half).all() and np.mean(means[~here] > half) < 0.05)
