"""The order in which advice is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import Offer

CURRENCIES = ("time_per_step", "number_of_steps")

# What is left of a gain once the trouble of having it is counted. Ours, for the order alone, and printed nowhere.
# A sum in another order has to be compared, other numbers need a second training to trust, and a change of what is
# learned may cost in steps what it saves in each. Effort weighs so little that at equal gain a change of results
# always counts for more: the least weight of one row lies above the greatest of the next.
RESULTS = {"identical": 1.0, "reordered": 0.7, "changed": 0.5, "semantics": 0.25}
EFFORT = {"config": 1.0, "small": 0.95, "medium": 0.85, "large": 0.75}


def ranked(offers: Sequence[Offer], importance: Callable[[Offer], int]) -> list[Offer]:
    """Return ``offers`` best first.

    Shorter steps come before fewer steps, since the two are never mixed, and what repairs something
    before what does less work. Of those come first the ones that are known to apply, then those with a
    condition that could not be checked, then projects that change what is learned, then those without a
    figure, by ``importance`` of their finding. What they save decides, weighed by what happens to the
    results and by effort; without a figure the results decide, then the effort.
    """
    return sorted(offers, key=lambda offer: _key(offer, importance(offer)))


def _key(offer: Offer, importance: int) -> tuple[int, bool, int, float, int, int, str]:
    """Return what ``offer`` is sorted by; of two that weigh the same, the one that asks for less is first."""
    rule = offer.rule
    currency, healthy = CURRENCIES.index(rule.currency), offer.finding.healthy
    results, effort = list(RESULTS).index(rule.numerics), list(EFFORT).index(rule.effort)
    if offer.estimate.speedup is None:
        doubt = 2 * importance + bool(offer.unchecked)
        return currency, healthy, 3, doubt, results, effort, rule.id
    project = rule.numerics == "semantics" and rule.effort == "large"
    group = 2 if project else int(bool(offer.unchecked))
    worth = saved(offer.estimate.speedup.likely) * RESULTS[rule.numerics] * EFFORT[rule.effort]
    return currency, healthy, group, -round(worth, 9), results, effort, rule.id


def saved(speedup: float) -> float:
    """Return the part of the time that a speed-up takes away: 2 saves a half."""
    return 1 - 1 / speedup
