"""Comparisons as real runs give them, and one in which every text is hostile."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import msgspec
from trainbottleneck.compare.comparison import compare
from trainbottleneck.compare.facts import read
from trainbottleneck.compare.sides import Group
from trainbottleneck.model.comparison import Comparison, Estimate

from .samples import healthy, rich

_CLOSED = {"letter", "basis", "noise", "phase", "standing", "sort", "time_basis", "pareto"}


def two() -> Comparison:
    """Return a slow and a fast run with a tolerated slow-down."""
    return compare([_group("A", "runs/before", rich()), _group("B", "runs/after", healthy())], limit=0.05)


def four() -> Comparison:
    """Return four sides with a metric and their place in the picture."""
    made = [("A", 0.083, 0.80), ("B", 0.05, 0.79), ("C", 0.04, 0.70), ("D", 0.06, 0.60)]
    plain = compare([_group(letter, f"runs/{letter}", rich()) for letter, _, _ in made])
    sides = tuple(
        dataclasses.replace(
            side,
            step_s=step_s,
            quality=Estimate(value=quality),
            points=((step_s, quality), (step_s * 1.05, quality + 0.01)),
        )
        for side, (_, step_s, quality) in zip(plain.sides, made, strict=True)
    )
    return dataclasses.replace(
        plain, sides=sides, metric="val/acc", higher_is_better=True, pareto=("A", "B", "C")
    )


def _group(letter: str, name: str, report: Any) -> Group:
    """Return a side of one run; its steps are known to one percent."""
    found = read(name, report, None)

    def known(one: Estimate) -> Estimate:
        return dataclasses.replace(one, error=0.01 * one.value, degrees=14)

    facts = dataclasses.replace(
        found, step=known(found.step), phases={key: known(value) for key, value in found.phases.items()}
    )
    return Group(letter=letter, name=name, facts=(facts,))


def poisoned(comparison: Comparison, payload: str) -> Comparison:
    """Return ``comparison`` with ``payload`` after every text that is not of a fixed list."""
    return msgspec.convert(_poison(msgspec.to_builtins(comparison), payload, ""), Comparison)


def _poison(value: Any, payload: str, key: str) -> Any:
    """Return ``value`` with every text in it poisoned."""
    if isinstance(value, str):
        return value if key in _CLOSED else value + payload
    if isinstance(value, Mapping):
        return {name: _poison(item, payload, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_poison(item, payload, key) for item in value]
    return value
