"""What became of the losses, told from real trainings of a small network in NumPy."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from trainbottleneck.verify.losses import UNIT, compare_losses, rounding_bound

Losses = tuple[tuple[int, float], ...]


@cache
def trained(
    *,
    rate: float = 0.5,
    rows: int = 0,
    batches: int = 0,
    steps: int = 60,
    first: int = 0,
    label_noise: int = 0,
) -> Losses:
    """Return the losses of a two-layer network in float32.

    Args:
        rate: Learning rate.
        rows: Seed of the order of rows within a batch: the same sums in another order.
        batches: Seed of the order of batches.
        steps: How many.
        first: Where the counting of updates begins.
        label_noise: Turns as many labels of each batch over.
    """
    draw = np.random.default_rng(0)
    data = draw.standard_normal((20, 32, 10)).astype(np.float32)
    labels = (data @ draw.standard_normal((10, 1)).astype(np.float32) > 0).astype(np.float32)
    labels[:, :label_noise] = 1 - labels[:, :label_noise]
    inner = (draw.standard_normal((10, 16)) / 3).astype(np.float32)
    outer = (draw.standard_normal((16, 1)) / 4).astype(np.float32)
    order, within = np.random.default_rng(batches), np.random.default_rng(rows)
    turns = [step % 20 for step in range(steps)] if not batches else order.integers(0, 20, steps).tolist()
    found = []
    for step, turn in enumerate(turns):
        shuffled = within.permutation(32) if rows else np.arange(32)
        x, y = data[turn][shuffled], labels[turn][shuffled]
        hidden = np.tanh(x @ inner)
        guess = 1 / (1 + np.exp(-hidden @ outer))
        found.append((first + step, float(np.mean(-y * np.log(guess) - (1 - y) * np.log(1 - guess)))))
        error = (guess - y) / np.float32(32)
        back = (error @ outer.T) * (1 - hidden * hidden)
        outer = outer - np.float32(rate) * (hidden.T @ error)
        inner = inner - np.float32(rate) * (x.T @ back)
    return tuple(found)


def test_the_same_training_is_identical() -> None:
    said = compare_losses(trained(), trained())
    assert (said.relation, said.steps, said.largest) == ("identical", 60, 0.0)


def test_the_same_sums_in_another_order_are_rounding() -> None:
    said = compare_losses(trained(), trained(rows=1))
    assert said.relation == "rounding" and said.largest and 0 < said.largest < 1e-4


@pytest.mark.parametrize("rate", [0.505, 0.495, 1.0])
def test_a_learning_rate_one_percent_off_is_a_change(rate: float) -> None:
    said = compare_losses(trained(), trained(rate=rate))
    assert said.relation == "changed" and "final quality" in said.text


def test_other_batches_are_a_change_unless_the_order_may_differ() -> None:
    base, arm = trained(), trained(batches=1)
    assert compare_losses(base, arm).relation == "changed"
    said = compare_losses(base, arm, reorders=True)
    assert said.relation == "reordered" and "95 %" in said.text


def test_a_higher_loss_is_a_change_even_where_the_order_may_differ() -> None:
    said = compare_losses(trained(), trained(batches=1, label_noise=8), reorders=True)
    assert said.relation == "changed"


def test_the_same_values_in_another_order_are_reordered() -> None:
    base = trained(rate=0.0, steps=20)
    arm = [(step, base[19 - step][1]) for step in range(20)]
    assert compare_losses(base, arm, reorders=True).text == "The same losses came in another order."


def test_what_is_rounding_in_bfloat16_is_a_change_in_float32() -> None:
    base = trained()
    arm = [(step, loss * (1 + 1e-4 * math.sin(step))) for step, loss in base]
    assert compare_losses(base, arm, unit=UNIT["bfloat16"]).relation == "rounding"
    assert compare_losses(base, arm).relation == "changed"


def test_late_differences_of_chaos_are_no_change_and_are_told() -> None:
    """After a hundred updates rounding alone may separate two runs by percents."""
    base = trained(steps=120)
    arm = [(step, loss * (1.05 if step > 100 else 1.0)) for step, loss in base]
    said = compare_losses(base, arm)
    assert said.relation == "rounding" and said.largest == pytest.approx(0.05, rel=0.1)
    assert "later ones" in said.text


def test_losses_seen_only_late_tell_nothing_unless_identical() -> None:
    late = trained(first=1000)
    assert compare_losses(late, late).relation == "identical"
    assert compare_losses(late, trained(first=1000, rows=1)).relation == "unknown"


def test_a_loss_that_is_no_number_any_more_is_a_change() -> None:
    base = trained()
    arm = [(step, loss if step < 40 else math.nan) for step, loss in base]
    said = compare_losses(base, arm)
    assert said.relation == "changed" and "step 40" in said.text and "with the changes" in said.text
    assert compare_losses(arm, arm).relation == "identical"
    assert "without" in compare_losses(arm, base).text


def test_overflow_in_both_does_not_hide_the_rest() -> None:
    base = [(0, math.inf), *trained()[1:]]
    arm = [(0, math.inf), *trained(rows=1)[1:]]
    assert compare_losses(base, arm).relation == "rounding"


def test_without_a_common_step_nothing_is_known() -> None:
    assert compare_losses([], trained()).relation == "unknown"
    assert compare_losses([(0, 1.0)], [(1, 1.0)]).relation == "unknown"
    assert compare_losses([(0, math.nan)], [(0, math.inf)]).relation == "unknown"


def test_several_losses_of_one_step_are_compared_one_by_one() -> None:
    base = [(0, 1.0), (0, 2.0), (1, 3.0)]
    assert compare_losses(base, base[:2]).steps == 2
    assert compare_losses(base, [(0, 2.0), (0, 1.0), (1, 3.0)]).relation == "changed"


def test_a_loss_that_crosses_zero_is_compared_by_its_usual_size() -> None:
    base = [(step, math.sin(step)) for step in range(10)]
    arm = [(step, loss + 1e-7) for step, loss in base]
    assert compare_losses(base, arm).relation == "rounding"


def test_the_bound_grows_from_some_roundings_and_has_no_end() -> None:
    assert rounding_bound(0) == 32 * 2**-24 and rounding_bound(5) == 2 * rounding_bound(0)
    assert rounding_bound(0, UNIT["bfloat16"]) == 2**-11 and rounding_bound(10**6) == math.inf
