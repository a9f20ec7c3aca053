"""Predictions in proportion to what taking the whole resource away gained."""

from __future__ import annotations

import pytest
from build import measurements
from trainbottleneck.model.finding import Interval
from trainbottleneck.predict.estimate import Estimate
from trainbottleneck.predict.measured import Known, in_proportion
from trainbottleneck.predict.models import Question, estimate

NOW = measurements(step__mean_s=0.1)


def by_phase(speedup: float, basis: str = "phase") -> Estimate:
    """Return an estimate from the phase alone."""
    return Estimate(
        speedup=Interval(low=speedup, likely=speedup, high=speedup),
        basis=basis,  # type: ignore[arg-type]
        after_s=0.1 / speedup,
    )


def test_half_of_a_phase_gains_half_of_what_the_whole_costs() -> None:
    known = Known(raw=0.4, cost=Interval(low=0.75, likely=0.8, high=0.85))
    found = in_proportion(by_phase(1 / (1 - 0.2)), known, NOW)
    assert found.speedup is not None and found.basis == "ceiling"
    assert found.speedup.likely == pytest.approx(1 / (1 - 0.4))
    assert found.speedup.low == pytest.approx(1 / (1 - 0.375))
    assert found.after_s == pytest.approx(0.06)


def test_fewer_exchanges_spare_their_part_of_what_all_of_them_cost_beside_backward() -> None:
    now = measurements(step__mean_s=0.2, step__communication_s=0.06)
    known = Known(raw=0.3, cost=Interval(low=0.5, likely=0.55, high=0.6))
    asked = Question(
        measurements=now, arguments={"seconds": 0.045}, bottleneck="communication", share=0.55, known=known
    )
    found = estimate("remove", asked)  # three of four exchanges, as no_sync does
    assert found.basis == "ceiling" and found.speedup is not None
    assert found.speedup.likely == pytest.approx(1 / (1 - 0.75 * 0.55), rel=0.01)


def test_no_part_is_more_than_the_whole() -> None:
    known = Known(raw=0.2, cost=Interval(low=0.1, likely=0.1, high=0.1))
    found = in_proportion(by_phase(2.0), known, NOW)
    assert found.speedup is not None and found.speedup.likely == pytest.approx(1 / 0.9)


def test_a_published_figure_stays_what_it_is() -> None:
    known = Known(raw=0.2, cost=Interval(low=0.1, likely=0.1, high=0.1))
    published = by_phase(2.0, "literature")
    assert in_proportion(published, known, NOW) == published
