"""Verdicts of paired trials: what they must not depend on, and how often they are right, by simulation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainbottleneck.verify.trials import LOOKS, Judged, Noise, Pair, e_value, judge, noise_of

QUIET = Noise(spread=0.005, pairs=2)
MIRROR = {"PROVED": "HARMFUL", "HARMFUL": "PROVED"}
SECONDS = st.floats(0.01, 10)
PAIRS = st.lists(st.tuples(SECONDS, SECONDS), min_size=2, max_size=20)


def simulated(
    gain: float, noise: float = 0.04, runs: int = 500, contaminated: bool = False, **how: float
) -> Counter[str]:
    """Return the share of trials by state, and the mean of pairs, at a true gain (log); the A/A pairs are drawn too."""
    rng = np.random.default_rng(11)
    found: Counter[str] = Counter()
    for _ in range(runs):
        logs = gain * (np.arange(22) >= 2) + noise * rng.standard_normal(22)
        if contaminated:  # 15 % of pairs are off by 20 %, to either side
            logs += 0.2 * (rng.random(22) < 0.15) * rng.choice([-1, 1], 22)
        pairs = [(seconds, 1.0) for seconds in np.exp(logs).tolist()]
        judged = _until_final(pairs[2:], noise_of(pairs[:2]) if "least" not in how else Noise(), **how)
        found[judged.state] += 1 / runs
        found["pairs"] += judged.pairs / runs
    return found


def _until_final(pairs: Sequence[Pair], noise: Noise, **how: float) -> Judged:
    for count in range(LOOKS[0], len(pairs) + 1):
        judged = judge(pairs[:count], noise, **how)
        if judged.final:
            break
    return judged


@pytest.mark.parametrize("contaminated", [False, True])
def test_equal_runs_are_told_apart_in_at_most_one_of_twenty_trials(contaminated: bool) -> None:
    found = simulated(0.0, runs=2000, contaminated=contaminated)
    assert found["PROVED"] + found["HARMFUL"] <= 0.05


@pytest.mark.parametrize("noise", [0.005, 0.15])
def test_equal_runs_on_a_quieter_or_noisier_machine_are_not_told_apart_either(noise: float) -> None:
    found = simulated(0.0, noise, runs=300)
    assert found["PROVED"] + found["HARMFUL"] <= 0.05


def test_looks_and_signs_together_keep_the_error_without_any_margin() -> None:
    """The margin is an extra: the levels alone give what causal.md's table says, 5.6 %."""
    found = simulated(0.0, runs=2000, least=0.0)
    assert found["PROVED"] + found["HARMFUL"] <= 0.06


def test_a_gain_at_the_margin_is_rarely_called_more() -> None:
    assert simulated(math.log(1.01), runs=2000)["PROVED"] <= 0.05


# causal.md's table (margin 0), its power less what 500 runs may be off; pairs as it says or fewer.
@pytest.mark.parametrize(("gain", "power", "pairs"), [(0.03, 0.75, 14.4), (0.05, 0.98, 8.8), (0.1, 1.0, 5.4)])
def test_gains_are_proved_as_often_as_the_table_says(gain: float, power: float, pairs: float) -> None:
    found = simulated(gain, least=0.0)
    assert found["PROVED"] >= power and found["pairs"] <= pairs + 0.5


# The margin (1 %, or what the A/A pairs say) costs about one point of gain; signs win back what contamination takes.
@pytest.mark.parametrize(
    ("gain", "contaminated", "power"),
    [
        (0.05, False, 0.92),
        (0.1, False, 0.99),
        (0.2, False, 1.0),
        (0.05, True, 0.45),
        (0.1, True, 0.94),
        (0.2, True, 0.99),
    ],
)
def test_gains_are_proved_beyond_the_margin(gain: float, contaminated: bool, power: float) -> None:
    assert simulated(gain, contaminated=contaminated)["PROVED"] >= power


def test_what_gains_nothing_is_refuted_more_often_than_left_open() -> None:
    found = simulated(0.0)
    assert found["REFUTED"] >= 0.70


def test_a_loss_is_harmful_and_never_undecided() -> None:
    assert simulated(-0.2, runs=200)["HARMFUL"] >= 0.95
    small = simulated(-0.1, runs=200)  # "no gain" is often known before "a loss" is, and ends the trial
    assert small["HARMFUL"] + small["REFUTED"] == pytest.approx(1)


def test_the_interval_at_a_fixed_length_holds_the_truth_as_often_as_its_level() -> None:
    rng = np.random.default_rng(3)
    trials = np.exp(0.1 + 0.04 * rng.standard_normal((1500, 8)))
    judged = [judge([(x, 1.0) for x in logs], Noise()) for logs in trials.tolist()]
    held = np.mean([one.speedup.low < math.exp(0.1) < one.speedup.high for one in judged if one.speedup])
    assert held == pytest.approx(judged[0].level, abs=0.012)


def test_the_least_visible_gain_is_proved_in_four_of_five_trials() -> None:
    rng = np.random.default_rng(5)
    logs = 0.04 * rng.standard_normal((1000, 8))
    least = np.mean([math.log(judge(_pairs(one), Noise()).least or 0) for one in logs])
    proved = [judge(_pairs(one + least), Noise()).basis == "mean" and _proved(one + least) for one in logs]
    assert np.mean(proved) == pytest.approx(0.8, abs=0.05)


def test_the_least_visible_gain_is_that_of_the_known_formula() -> None:
    """causal.md, 4 %, fixed length: 6.6 % at 5 pairs, 3.6 % at 12, 2.6 % at 20."""
    for count, least in ((5, 0.066), (12, 0.036), (20, 0.026)):
        logs = np.linspace(-1, 1, count)
        logs *= 0.04 / np.std(logs, ddof=1)
        judged = judge(_pairs(logs), Noise(), looks=(count,), least=0.0)
        assert math.log(judged.least or 0) == pytest.approx(least, abs=6e-4)


@given(PAIRS, st.floats(0.01, 100))
def test_the_unit_of_time_changes_nothing(pairs: list[Pair], factor: float) -> None:
    scaled = [(base * factor, arm * factor) for base, arm in pairs]
    one, other = judge(pairs, QUIET), judge(scaled, QUIET)
    assert one.speedup and other.speedup
    assert other.speedup.likely == pytest.approx(one.speedup.likely, rel=1e-9)
    assert other.speedup.high == pytest.approx(one.speedup.high, rel=1e-6)


@given(PAIRS, st.randoms())
def test_the_order_of_pairs_changes_nothing(pairs: list[Pair], random: object) -> None:
    mixed = list(pairs)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert judge(mixed, QUIET) == judge(pairs, QUIET)


@given(PAIRS)
def test_the_interval_holds_what_it_is_about(pairs: list[Pair]) -> None:
    judged = judge(pairs, QUIET)
    assert judged.speedup and judged.speedup.low <= judged.speedup.likely <= judged.speedup.high
    if judged.basis == "sign":
        assert judged.speedup.likely == judged.median


@given(PAIRS)
def test_swapping_the_arms_mirrors_the_verdict(pairs: list[Pair]) -> None:
    judged, mirrored = judge(pairs, QUIET), judge([(arm, base) for base, arm in pairs], QUIET)
    assert judged.speedup and mirrored.speedup
    assert mirrored.speedup.likely == pytest.approx(1 / judged.speedup.likely)
    assert mirrored.speedup.low == pytest.approx(1 / judged.speedup.high)
    assert (mirrored.e_faster, mirrored.e_slower) == (judged.e_slower, judged.e_faster)
    if judged.state in MIRROR:
        assert mirrored.state == MIRROR[judged.state]


@given(PAIRS, st.integers(2, 20))
def test_the_more_was_tried_the_wider_the_interval(pairs: list[Pair], tried: int) -> None:
    one, many = judge(pairs[:6], QUIET), judge(pairs[:6], QUIET, tried)
    assert one.speedup and many.speedup and one.basis == many.basis == "mean"
    assert many.speedup.low <= one.speedup.low and many.speedup.high >= one.speedup.high
    assert many.level > one.level


def test_between_looks_the_mean_decides_nothing() -> None:
    pairs = _pairs([0.30, 0.31, 0.29, 0.30, 0.31, 0.30])
    assert judge(pairs[:4], QUIET).state == "UNDECIDED"
    assert judge(pairs[:5], QUIET).state == "PROVED"
    assert judge(pairs, QUIET).state == "UNDECIDED"


def test_when_time_is_up_three_pairs_are_looked_at_and_two_are_not() -> None:
    pairs = _pairs([0.30, 0.31, 0.29])
    assert judge(pairs, QUIET, ended=True).state == "PROVED"
    two = judge(pairs[:2], QUIET, ended=True)
    assert two.state == "UNDECIDED" and two.final


def test_seven_wins_of_seven_prove_what_one_stalled_pair_hides_from_the_mean() -> None:
    pairs = _pairs([0.05, 0.06, 0.05, 1.2, 0.04, 0.05, 0.06])
    judged = judge(pairs, QUIET)
    assert judged.state == "PROVED" and judged.basis == "sign" and judged.disagree
    assert judged.speedup and judged.speedup.low > 1 + judged.margin


def test_signs_prove_nothing_where_the_mean_lost() -> None:
    """Nine even gains and one arm that took five times as long: what a median does not show is still paid for."""
    judged = judge(_pairs([0.05] * 10 + [-1.6]), QUIET)
    assert judged.e_faster >= 20 and judged.state == "UNDECIDED" and judged.disagree


@pytest.mark.parametrize(("wins", "count"), [(7, 7), (10, 11), (12, 14)])
def test_the_sign_process_reaches_twenty_where_it_should(wins: int, count: int) -> None:
    assert e_value(count, wins) >= 20 > e_value(count, wins - 1)


@pytest.mark.parametrize("count", range(6))
def test_the_sign_process_is_a_fair_bet(count: int) -> None:
    """Its mean over all outcomes of fair coins is 1."""
    mean = sum(math.comb(count, k) * e_value(count, k) for k in range(count + 1)) / 2**count
    assert mean == pytest.approx(1.0)


def test_a_noisy_machine_raises_the_margin() -> None:
    pairs = _pairs([0.05, 0.051, 0.049, 0.05, 0.05])
    noisy = noise_of([(1.3, 1.0), (1.0, 1.2)])
    assert judge(pairs, QUIET).state == "PROVED"
    assert judge(pairs, noisy).state == "UNDECIDED"
    assert judge(pairs, noisy).margin == pytest.approx(math.expm1(noisy.spread / math.sqrt(5)))


def test_one_pair_takes_its_spread_from_the_equal_ones() -> None:
    one = judge([(2.0, 1.0)], noise_of([(1.0, 1.01), (1.02, 1.0)]))
    assert one.speedup and one.speedup.likely == pytest.approx(2.0)
    assert one.speedup.low < 2.0 < one.speedup.high
    assert judge([(2.0, 1.0)], Noise()).speedup is None
    assert judge([], Noise()).median is None


def test_one_pair_unlike_the_rest_is_kept_and_told() -> None:
    pairs = _pairs([0.10, 0.11, 0.09, 0.10, -0.90])
    judged = judge(pairs, QUIET)
    assert judged.pairs == 5 and judged.disagree and judged.state == "UNDECIDED"
    assert not judge(_pairs([0.10, 0.11, 0.09, 0.10, 0.10]), QUIET).disagree


def test_times_that_are_none_and_too_many_looks_are_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        judge([(1.0, 0.0)], QUIET)
    with pytest.raises(ValueError, match="looks"):
        judge([(1.0, 1.0)], QUIET, looks=(1, 2, 3, 4, 5, 6))


def _proved(logs: Sequence[float]) -> bool:
    return judge(_pairs(logs), Noise()).state == "PROVED"


def _pairs(logs: Sequence[float]) -> list[Pair]:
    return [(math.exp(log), 1.0) for log in logs]
