"""What is updated together: several optimizers of one step, not those of trainings one after the other."""

from __future__ import annotations

import pytest
from trainbottleneck.analyze import model_facts
from trainbottleneck.analyze.updates import find_updates
from trainbottleneck.analyze.values import Values

from .records import Loop


def told(*tensors: int) -> dict[int, dict[str, int]]:
    """Return optimizers from number 1 on, of so many tensors of ten parameters each."""
    return {number: {"tensors": n, "parameters": 10 * n} for number, n in enumerate(tensors, 1)}


def found(loop: Loop, *tensors: int) -> tuple[list[int], float] | None:
    """Return the tensors of the optimizers that belong together, and of the mean step."""
    updates = find_updates(loop.timeline(), told(*tensors))
    return updates and ([one["tensors"] for one in updates.together], updates.tensors)


def several(*optimizers: int, loop: Loop | None = None) -> Loop:
    """Return a loop that has taken a step, with all of ``optimizers``."""
    loop = (loop or Loop()).fetch().forward().backward()
    for number in optimizers:
        loop.step(optimizer=number)
    return loop


def test_one_optimizer() -> None:
    assert found(Loop().plain(12), 6) == ([6], 6)


def test_two_networks_against_each_other() -> None:
    loop = Loop()
    for _ in range(12):
        several(1, 2, loop=loop)
    assert found(loop, 6, 4) == ([6, 4], pytest.approx(10, abs=0.5))  # the last step is cut before the second


def test_the_second_network_every_third_time() -> None:
    loop = Loop()
    for number in range(30):
        several(*((1, 2) if number % 3 == 2 else (1,)), loop=loop)
    assert found(loop, 6, 3) == ([6, 3], 3 * 6 + 3)  # a step ends with the second


def test_folds_one_after_the_other_count_once() -> None:
    loop = Loop()
    for fold in range(1, 6):
        for _ in range(10):
            several(fold, loop=loop)
    assert found(loop, 6, 6, 6, 6, 6) == ([6], 6)


def test_an_optimizer_made_anew_for_each_step_counts_once() -> None:
    loop = Loop()
    for number in range(1, 100):
        several(number, loop=loop)
    assert found(loop, *[6] * 64) == ([6], 6)


def test_an_optimizer_of_unknown_size_counts() -> None:
    updates = find_updates(Loop().plain(12).timeline(), {1: {"devices": ["cpu"]}})
    assert updates is not None and updates.together == ({"devices": ["cpu"]},)


def test_where_no_optimizer_is_told_nothing_is_said() -> None:
    assert found(Loop().plain(12)) is None


def test_what_the_report_says_of_a_population() -> None:
    loop = Loop()
    for number in range(1, 65):
        loop.tell(
            "optimizer",
            number=number,
            name="AdamW",
            tensors=6,
            parameters=1000,
            bytes=4000,
            dtypes=[],
            devices=["cpu"],
        )
        several(number, loop=loop)
    values = Values()
    model_facts.analyse(loop.timeline(), values)
    assert values.number("model.parameters") == 1000 and values.number("optimizer.tensors") == 6
