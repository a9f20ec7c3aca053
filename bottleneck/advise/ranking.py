"""The order in which advice is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .engine import Offer

EQUAL = 1.05  # gains within 5 % of each other: no prediction here is better than that
NUMERICS = ("identical", "reordered", "changed", "semantics")
EFFORT = ("config", "small", "medium", "large")
CURRENCIES = ("time_per_step", "number_of_steps")


def ranked(offers: Sequence[Offer], importance: Callable[[Offer], int]) -> list[Offer]:
    """Return ``offers`` best first.

    Shorter steps come before fewer steps, since the two are never mixed. Within one of them the likely
    gain decides: first of those that are known to apply, then of those with a condition that could not be
    checked, then come those without a figure, by ``importance`` of their finding. Gains within 5 % of
    the largest of their group are equal: there, what keeps results comes first, then the smaller effort.
    """
    ordered: list[Offer] = []
    for currency in CURRENCIES:
        same = [offer for offer in offers if offer.rule.currency == currency]
        for checked in (True, False):
            some = (one for one in same if one.estimate.speedup and checked is not bool(one.unchecked))
            for group in _groups(sorted(some, key=lambda one: (-_gain(one), one.rule.id))):
                ordered.extend(sorted(group, key=_harm))
        unknown = (offer for offer in same if offer.estimate.speedup is None)
        ordered.extend(sorted(unknown, key=lambda one: (importance(one), bool(one.unchecked), *_harm(one))))
    return ordered


def _groups(offers: Sequence[Offer]) -> list[list[Offer]]:
    """Return ``offers``, sorted by gain, cut where the gain falls 5 % below the group's first."""
    groups: list[list[Offer]] = []
    for offer in offers:
        if groups and _gain(groups[-1][0]) <= _gain(offer) * EQUAL:
            groups[-1].append(offer)
        else:
            groups.append([offer])
    return groups


def _gain(offer: Offer) -> float:
    """Return the likely speed-up."""
    return offer.estimate.speedup.likely if offer.estimate.speedup else 0.0


def _harm(offer: Offer) -> tuple[int, int, float, str]:
    """Return how much an offer asks for: change of results, then effort, then the smaller gain."""
    return (
        NUMERICS.index(offer.rule.numerics),
        EFFORT.index(offer.rule.effort),
        -_gain(offer),
        offer.rule.id,
    )
