"""Which epochs begin with a loader that was made anew, as the agent numbers loaders and the analysis counts them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from trainbottleneck.agent.batches import Batches
from trainbottleneck.analyze.measure import analyse
from trainbottleneck.model.measurement import Measurements
from trainbottleneck.model.span import Flag, Kind

from .records import Loop, run

STEPS = 10  # of an epoch


def told(loop: Loop, number: int, workers: int = 2) -> Loop:
    """Let the agent tell of a loader that is used for the first time."""
    return loop.tell("loader", number=number, workers=workers, prefetch_factor=2, persistent_workers=False)


def epoch(loop: Loop, loader: int, steps: int = STEPS) -> Loop:
    """Train for a pass over a loader."""
    loop.begin(loader, 0.05)
    for step in range(steps):
        loop.fetch(0.05 if step == 0 else 0.001, loader, first=step == 0, ready=2)
        loop.forward().backward().step()
    return loop.exhaust(loader)


def measured(loop: Loop) -> Measurements:
    """Return the measurements of a run of this loop."""
    return analyse(run(loop.process())).measurements


def renewed(loaders: Sequence[int]) -> float | None:
    """Return the measurement of a run with these loaders, an epoch each."""
    loop = Loop()
    for loader in loaders:
        epoch(told(loop, loader), loader)
    return measured(loop).number("input.renewed_frac")


@pytest.mark.parametrize(
    ("loaders", "part"),
    [
        (range(1, 11), 1.0),
        ([1] * 10, 0.0),
        ([1], 0.0),
        ([0] * 10, 0.0),  # the agent can't tell the loader from another
    ],
)
def test_epochs_with_a_new_loader_are_counted(loaders: Sequence[int], part: float) -> None:
    assert renewed(loaders) == part


def test_a_loader_that_changes_once_is_new_once() -> None:
    found = renewed([1] * 10 + [2] * 10)
    assert found is not None and 1 / 19 <= found <= 1 / 10


def test_loaders_in_turn_are_new_once_each() -> None:
    found = renewed([1, 2, 3] * 6)
    assert found is not None and found <= 2 / 17


def test_a_new_loader_for_each_evaluation_is_none_for_training() -> None:
    loop = Loop()
    for number in range(10):
        epoch(loop, 1)
        loop.validate(loader=2 + number)
    assert measured(loop).number("input.renewed_frac") == 0.0


def test_evaluating_with_the_same_loader_does_not_hide_that_training_has_a_new_one() -> None:
    loop = Loop().validate(loader=1)
    for number in range(10):
        epoch(loop, 2 + number)
        loop.validate(loader=1)
    assert measured(loop).number("input.renewed_frac") == 1.0


def test_a_loader_that_evaluated_before_is_not_new_in_training() -> None:
    loop = Loop()
    for number in range(1, 11):
        epoch(loop.validate(loader=number), number)
    assert measured(loop).number("input.renewed_frac") == 0.0


def test_loaders_a_run_begins_with_are_not_made_anew() -> None:
    loop = Loop()
    for _ in range(10):
        loop.begin(1).begin(2)
        for step in range(STEPS):
            loop.fetch(0.001, 1, first=step == 0).fetch(0.001, 2, first=step == 0)
            loop.forward().backward().step()
    assert measured(loop).number("input.renewed_frac") == 0.0


def test_the_replay_is_told_of_it() -> None:
    loop = Loop()
    for loader in range(1, 11):
        told(loop, loader, workers=0).begin(loader)
        for step in range(STEPS):
            with loop.inside(Kind.NEXT, flags=Flag.FIRST if step == 0 else 0, a=-1, b=loader):
                loop.span(Kind.BATCH, 0.01, a=8, b=5_000_000)
            loop.forward().backward().step()
    workload = measured(loop).workload
    assert workload is not None and workload.feeding is not None
    assert workload.feeding.renewed_frac == 1.0


def test_settings_are_those_of_a_loader_that_was_told() -> None:
    loop = Loop()
    for loader in range(1, 71):
        epoch(told(loop, loader) if loader <= 64 else loop, loader, 4 if loader <= 64 else 8)
    assert measured(loop).number("input.workers") == 2


class Loader:
    """Something a loader's hooks can number."""


def test_a_loader_at_the_address_of_an_older_one_gets_another_number() -> None:
    ignored: Any = SimpleNamespace()
    batches = Batches(ignored, ignored, ignored)
    kept = Loader()
    numbers, addresses = [batches._number(kept)], set()
    for _ in range(50):
        loader = Loader()
        addresses.add(id(loader))
        numbers += [batches._number(loader), batches._number(loader)]
        del loader
    assert len(addresses) < 50  # Python gave addresses out again: else this would show nothing
    assert numbers == [1, *(number for number in range(2, 52) for _ in range(2))]
    assert batches._number(kept) == 1
