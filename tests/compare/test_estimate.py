"""Errors of means: of steps that follow each other, and of runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from trainbottleneck.compare import estimate
from trainbottleneck.model.comparison import Estimate
from trainbottleneck.verify.quantiles import t_quantile


def _coverage(alike: float, count: int, rounds: int) -> float:
    """Return how often the 95 % interval of an AR(1) series' mean holds the truth."""
    draw = np.random.default_rng(7)
    noise = draw.normal(size=(rounds, count + 100))
    series = noise.copy()
    for at in range(1, count + 100):
        series[:, at] += alike * series[:, at - 1]
    held = 0
    for row in series[:, 100:]:
        found = estimate.of_steps(row)
        assert found.error is not None
        held += abs(found.value) <= t_quantile(0.975, found.degrees) * found.error
    return held / rounds


@pytest.mark.parametrize(("alike", "least"), [(0.0, 0.93), (0.5, 0.92), (0.9, 0.9)])
def test_the_interval_of_alike_steps_holds_the_truth(alike: float, least: float) -> None:
    assert least <= _coverage(alike, 400, 400) <= 0.99


def test_steps_as_if_independent_would_not_hold_it() -> None:
    draw = np.random.default_rng(3)
    steps = np.repeat(draw.normal(size=100), 10)
    found = estimate.of_steps(steps)
    assert found.error is not None and found.error > 2 * float(steps.std(ddof=1)) / math.sqrt(len(steps))


def test_few_steps_have_a_mean_and_no_error() -> None:
    found = estimate.of_steps(np.full(15, 0.2))
    assert found.value == pytest.approx(0.2) and found.error is None


def test_steps_that_are_all_the_same_have_no_spread() -> None:
    assert estimate.of_steps(np.full(100, 0.25)).error == pytest.approx(0.0, abs=1e-12)


def test_one_run_has_no_error_and_several_have() -> None:
    assert estimate.of_runs([3.0]).error is None
    found = estimate.of_runs([1.0, 2.0, 3.0])
    assert (found.value, found.error, found.degrees) == (2.0, pytest.approx(1 / math.sqrt(3)), 2)


def test_the_difference_is_welchs() -> None:
    # 1, 2, 3, 4 against 2, 4, 6: by hand, mean difference 1.5, variances 5/12 and 4/3, degrees 3.19, t 3.077
    found, known = estimate.difference(estimate.of_runs([1, 2, 3, 4]), estimate.of_runs([2, 4, 6]))
    error = math.sqrt(5 / 12 + 4 / 3)
    degrees = (5 / 12 + 4 / 3) ** 2 / ((5 / 12) ** 2 / 3 + (4 / 3) ** 2 / 2)
    assert known and found.likely == pytest.approx(1.5)
    assert found.high - found.likely == pytest.approx(t_quantile(0.975, degrees) * error)
    assert found.low < 0 < found.high


def test_a_single_run_beside_several_gets_their_spread_and_their_degrees() -> None:
    several = estimate.of_runs([1.0, 1.2, 1.4])
    single, kept = estimate.borrowed(estimate.of_runs([2.0]), several, 3)
    found, known = estimate.difference(kept, single)
    assert known
    assert found.high - found.likely == pytest.approx(t_quantile(0.975, 2) * 0.2 * math.sqrt(1 + 1 / 3))


def test_a_ratio_of_logarithms_is_symmetric() -> None:
    before, after = (Estimate(value=math.log(v), error=0.1, degrees=10) for v in (2.0, 1.0))
    there, _ = estimate.ratio(before, after)
    back, _ = estimate.ratio(after, before)
    assert there.likely == pytest.approx(2.0)
    assert (back.low, back.high) == (pytest.approx(1 / there.high), pytest.approx(1 / there.low))


def test_no_interval_without_an_error_on_both_sides() -> None:
    found, known = estimate.difference(Estimate(value=1.0), Estimate(value=2.0, error=0.1, degrees=5))
    assert not known and found.low == found.high == 1.0
