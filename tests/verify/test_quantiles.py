"""Student's t against published tables and against what has a closed form."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainbottleneck.verify.quantiles import incomplete_beta, t_quantile
from trainbottleneck.verify.statistics import t95

# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2: upper critical values of Student's t distribution.
NIST = {
    (0.90, 1): 3.078,
    (0.95, 2): 2.920,
    (0.975, 4): 2.776,
    (0.975, 19): 2.093,
    (0.99, 7): 2.998,
    (0.995, 5): 4.032,
    (0.995, 30): 2.750,
    (0.999, 3): 10.215,
    (0.999, 11): 4.025,
    (0.999, 100): 3.174,
}


@pytest.mark.parametrize(("at", "value"), NIST.items())
def test_it_is_the_published_quantile(at: tuple[float, int], value: float) -> None:
    assert t_quantile(*at) == pytest.approx(value, abs=6e-4)


@given(st.floats(0.01, 0.99))
def test_one_degree_of_freedom_is_a_cauchy_distribution(probability: float) -> None:
    assert t_quantile(probability, 1) == pytest.approx(
        math.tan(math.pi * (probability - 0.5)), rel=1e-9, abs=1e-9
    )


@given(st.floats(0.5001, 0.9999))
def test_two_degrees_of_freedom_have_a_closed_form(probability: float) -> None:
    part = 2 * probability - 1
    assert t_quantile(probability, 2) == pytest.approx(part * math.sqrt(2 / (1 - part * part)), rel=1e-7)


@given(st.floats(0.001, 0.999), st.integers(1, 200))
def test_it_is_symmetric(probability: float, degrees: int) -> None:
    assert t_quantile(1 - probability, degrees) == pytest.approx(
        -t_quantile(probability, degrees), rel=1e-8, abs=1e-8
    )


@given(st.floats(0.1, 50), st.floats(0.1, 50), st.floats(0.01, 0.99))
def test_the_beta_function_and_its_mirror_image_are_one_together(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) + incomplete_beta(b, a, 1 - x) == pytest.approx(1, abs=1e-10)


def test_the_table_for_95_percent_agrees() -> None:
    assert all(t_quantile(0.975, n) == pytest.approx(t95(n), abs=6e-3) for n in range(1, 11))


def test_without_a_degree_of_freedom_nothing_is_known() -> None:
    assert t_quantile(0.975, 0) == math.inf


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.5])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        t_quantile(probability, 5)
