"""All ranks compared: which of them the report describes, and the measurements that need more than one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...model.ranks import RankDigest
from ..values import Values
from . import volume
from .arrivals import Meeting, meetings
from .clocks import align, worst_error_s
from .roster import Roster
from .stragglers import Straggling, find

# From a twentieth of the step on that one rank costs, it is that rank whose time is worth explaining.
_DESCRIBES = 0.05
_PARTS = {
    "input": "straggler.input_frac",
    "compute": "straggler.compute_frac",
    "chores": "straggler.chores_frac",
    "gc": "straggler.gc_frac",
    "other": "straggler.other_frac",
}
_WHY = {
    "input": "it waits for its own data",
    "compute": "its forward, backward and optimizer take longer",
    "chores": "it saves, evaluates or logs while the others wait",
    "gc": "its garbage collector runs longer",
    "other": "its own code between the phases takes longer",
}
_TURNS = {
    "input": "batches arrive unevenly",
    "compute": "some batches take longer to compute than others, as sequences of uneven length do",
    "chores": "saving, evaluating or logging comes at different times",
    "gc": "garbage collections come at different times",
    "other": "the script's own code takes now longer, now shorter",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What comparing the ranks gave.

    Attributes:
        roster: Which ranks there are.
        meetings: Calls they have in common.
        straggling: What late ranks cost, None where no two ranks met.
        clock_error_s: Error of the common clock; NaN where only wall clocks tell.
        step_s: Mean step over the ranks.
        described: Key of the rank that the report describes, None for the first.
    """

    roster: Roster
    meetings: tuple[Meeting, ...]
    straggling: Straggling | None
    clock_error_s: float
    step_s: float
    described: str | None


def compare(roster: Roster) -> Survey:
    """Return the comparison of a roster's ranks."""
    digests = roster.digests
    clocks = align(digests)
    met = meetings(digests, clocks)
    straggling = find(met, digests)
    step = float(np.mean([digest.step_s for digest in digests])) if digests else 0.0
    described = None
    if straggling is not None and straggling.is_constant and straggling.constant_s > _DESCRIBES * step:
        described = digests[straggling.rank].key
    return Survey(
        roster=roster,
        meetings=met,
        straggling=straggling,
        clock_error_s=worst_error_s(clocks),
        step_s=step,
        described=described,
    )


def analyse(survey: Survey, values: Values) -> None:
    """Give the ``ranks.*``, ``comm.*``, ``ddp.*`` and ``straggler.*`` measurements; of one rank alone but few."""
    roster = survey.roster
    digests = roster.digests
    if not digests:
        return
    values.give("ranks.seen", len(digests))
    values.give("ranks.expected", roster.expected)
    if roster.expected < 2:
        return
    values.give("ranks.hosts", len({digest.host for digest in digests}))
    values.give("ranks.clock_error_s", survey.clock_error_s, len(digests))
    volume.analyse(digests, survey.meetings, values)
    if survey.straggling is None:
        values.lack("straggler", "no two ranks were seen in the same collective")
        return
    _straggler(survey, survey.straggling, digests, values)


def _straggler(survey: Survey, late: Straggling, digests: Sequence[RankDigest], values: Values) -> None:
    """Give what late ranks cost, and who and why."""
    count = max(meeting.arrival_s.shape[1] for meeting in survey.meetings)
    step = survey.step_s
    if step <= 0:
        return
    values.give("straggler.cost_frac", min(1.0, late.cost_s / step), count)
    values.give("straggler.constant_frac", min(1.0, late.constant_s / step), count)
    values.give("straggler.random_frac", min(1.0, late.random_s / step), count)
    values.give("straggler.constant", float(late.is_constant), count)
    values.give("straggler.last_frac", late.last_frac, count)
    worst = digests[late.rank]
    if worst.rank is not None:
        values.give("straggler.rank", worst.rank)
    values.give("straggler.since_step", worst.settled + late.since_frac * (worst.steps - worst.settled))
    for cause, identifier in _PARTS.items():
        values.give(identifier, late.causes.get(cause, 0.0), count)
    _words(survey, late, worst, values)


def _words(survey: Survey, late: Straggling, worst: RankDigest, values: Values) -> None:
    """Give who is late, why and since when, as texts."""
    why = max(late.causes, key=lambda cause: late.causes[cause], default=None)
    if not late.is_constant:
        values.label("straggler.who", "now one rank, now another")
        values.label("straggler.why", _TURNS[why] if why else "")
        values.label("straggler.since", "all through the run, by turns")
        return
    where = f" on {worst.host}" if worst.host and len({d.host for d in survey.roster.digests}) > 1 else ""
    values.label("straggler.who", f"every rank{where}" if late.host else f"rank {worst.rank}{where}")
    host = "all of its host's ranks are late: the host itself is slow" if late.host else ""
    values.label("straggler.why", host if host and why == "compute" else _WHY[why] if why else "")
    since = worst.settled + late.since_frac * (worst.steps - worst.settled)
    values.label(
        "straggler.since", f"since about step {since:.0f}" if late.since_frac > 0 else "since the first step"
    )
