"""The share of a finding where its resource was taken away."""

from __future__ import annotations

import pytest
from build import measurements
from trainbottleneck.diagnose.engine import judge
from trainbottleneck.model.finding import Finding
from trainbottleneck.rulebook import load, shipped

RULES = load([shipped()]).bottlenecks


def finding(
    rule: str, ceiling: float, interval: tuple[float, float], name: str = "", **values: float
) -> Finding:
    """Return what ``rule`` says with the ceiling of its resource at ``ceiling``."""
    resource = name or rule
    given = {f"ceiling.{resource}_frac": ceiling, f"ceiling.{resource}_s": 0.1 * (1 - ceiling)}
    found = measurements(given, intervals={f"ceiling.{resource}_frac": interval}, step__mean_s=0.1, **values)
    (one,) = judge(found, [RULES[rule]])
    return one


def test_the_ceiling_is_the_share_and_the_phase_stays_as_evidence() -> None:
    one = finding("logging", 0.8, (0.77, 0.83), logging__frac=0.49)
    assert (one.state, one.share, one.share_basis, one.raw_share) == ("fires", 0.8, "ceiling", 0.49)
    assert one.share_interval == (0.77, 0.83) and one.severity == "critical"
    assert "Without calls of loggers a step took 20 ms instead of 100 ms" in one.text
    assert {"ceiling.logging_frac", "logging.frac"} <= {each.id for each in one.evidence}


def test_logging_outside_the_calls_that_were_removed_is_added() -> None:
    one = finding("logging", 0.12, (0.1, 0.14), logging__frac=0.32, step__logging_frac=0.08)
    assert one.share == pytest.approx(0.12 + 0.24)
    assert one.share_interval == pytest.approx((0.34, 0.38))


def test_a_phase_that_hides_nothing_does_not_fire_and_says_so() -> None:
    one = finding("logging", 0.001, (-0.01, 0.012), logging__frac=0.2)
    assert (one.state, one.share, one.raw_share) == ("silent", None, 0.2)
    assert "taking it away gains nothing" in one.text


def test_causes_of_one_family_share_its_ceiling_as_they_share_the_wait() -> None:
    one = finding(
        "storage", 0.4, (0.37, 0.43), "input",
        input__wait_frac=0.8, input__blocked_frac=0.5, input__workers=0, input__epoch_gap_frac=0.0,
        input__sampler_frac=0.0,
    )  # fmt: skip
    assert one.share == pytest.approx(0.5 * 0.4) and one.share_interval == pytest.approx((0.185, 0.215))


def test_a_wide_interval_that_holds_the_phase_share_changes_nothing() -> None:
    one = finding("logging", 0.5, (0.05, 0.95), logging__frac=0.3)
    assert (one.share, one.share_basis) == (0.3, "phase")


def test_a_wide_interval_that_rules_the_phase_share_out_is_believed() -> None:
    one = finding("logging", 0.7, (0.5, 0.9), logging__frac=0.3)
    assert (one.share, one.share_basis) == (0.7, "ceiling")


def test_a_wide_interval_from_nothing_rules_a_larger_phase_share_out_too() -> None:
    one = finding(
        "dataloader", 0.03, (-0.1, 0.15), "input",
        input__wait_frac=0.53, input__epoch_gap_frac=0.0, input__sampler_frac=0.0, input__workers=0,
    )  # fmt: skip
    assert (one.share, one.share_basis, one.raw_share) == (0.03, "ceiling", 0.53)


def test_a_delay_that_the_step_does_not_notice_clears_the_loader() -> None:
    found = measurements(
        {"bracket.input_frac": 0.005, "input.wait_frac": 0.3},
        intervals={"bracket.input_frac": (0.0, 0.02)},
    )
    (one,) = judge(found, [RULES["dataloader"]])
    assert one.state == "silent" and one.raw_share == 0.3


def test_a_delay_that_the_step_notices_gives_a_range_from_nothing() -> None:
    found = measurements(
        {"bracket.input_frac": 0.28, "input.wait_frac": 0.3},
        intervals={"bracket.input_frac": (0.0, 0.3)},
    )
    (one,) = judge(found, [RULES["dataloader"]])
    assert (one.share, one.share_basis, one.share_interval) == (0.28, "bracket", (0.0, 0.3))


@pytest.mark.parametrize(("waiting", "first"), [(0.25, "logging"), (0.251, "cpu_preprocessing")])
def test_of_shares_that_are_alike_the_measured_one_comes_first(waiting: float, first: str) -> None:
    given = {"ceiling.logging_frac": 0.2, "ceiling.logging_s": 0.08, "logging.frac": 0.2, "step.mean_s": 0.1}
    given |= {
        "input.wait_frac": waiting,
        "input.epoch_gap_frac": 0,
        "input.sampler_frac": 0,
        "input.blocked_frac": 0,
        "input.workers": 0,
    }
    found = measurements(given, intervals={"ceiling.logging_frac": (0.18, 0.22)})
    findings = judge(found, [RULES["cpu_preprocessing"], RULES["logging"]])
    assert [one.state for one in findings] == ["fires", "fires"]
    assert findings[0].rule == first


def test_what_no_phase_shows_rests_on_its_experiment_however_wide() -> None:
    one = finding("anomaly_detection", 0.6, (0.3, 0.8), "anomaly", host__anomaly=1)
    assert (one.state, one.share, one.share_basis) == ("fires", 0.6, "ceiling")
    assert one.share_interval == (0.3, 0.8)
    assert "Without anomaly detection a step took 40 ms instead of 100 ms" in one.text
