"""The comparison of blocks, by simulation: how often its interval holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from trainbottleneck.model.span import Kind, Spans
from trainbottleneck.verify.blocks import Block, pair_blocks, step_pairs
from trainbottleneck.verify.statistics import compare, t95

ABBA = (False, True, True, False)


def covered(share: float, pairs: int, noise: float, drift: float = 0.0, runs: int = 1500) -> float:
    """Return how often the 95 % interval holds ``share``, over ``runs`` simulated experiments."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(runs):
        found = compare(_pairs(rng, share, pairs, noise, drift))
        assert found is not None and found.interval is not None
        hits += found.interval[0] <= share <= found.interval[1]
    return hits / runs


def _pairs(
    rng: np.random.Generator, share: float, pairs: int, noise: float, drift: float
) -> list[tuple[float, float]]:
    """Return pairs from blocks in the order A B B A, each with noise of its own and a drift common to all."""
    times = []
    for number in range(2 * pairs):
        removed = ABBA[number % 4]
        seconds = (1 - share if removed else 1.0) * math.exp(noise * rng.standard_normal())
        block = Block(
            start_ns=0, end_ns=round(1e9 * seconds * (1 + drift * number)), removed=removed, steps=1
        )
        times.append(block)
    return [(base.step_s, without.step_s) for base, without in pair_blocks(times)]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.8])
@pytest.mark.parametrize("pairs", [3, 4, 8])
def test_the_interval_holds_the_truth_in_nine_of_ten_experiments(share: float, pairs: int) -> None:
    assert covered(share, pairs, noise=0.04) >= 0.90


def test_the_interval_holds_the_truth_while_steps_become_slower() -> None:
    assert covered(0.3, 4, noise=0.02, drift=0.01) >= 0.90


def test_noise_of_a_tenth_is_covered_too() -> None:
    assert covered(0.3, 4, noise=0.10) >= 0.90


def test_the_interval_is_narrow_where_blocks_are_even() -> None:
    found = compare(_pairs(np.random.default_rng(1), 0.3, 4, 0.01, 0.0))
    assert found is not None and found.interval is not None
    assert found.interval[1] - found.interval[0] < 0.06


def test_what_comes_once_in_a_block_counts_as_it_does_in_a_run() -> None:
    found = compare([(1.0, 0.5), (3.0, 0.5)])
    assert found is not None
    assert found.share == pytest.approx(1 - 1.0 / 4.0)


def test_one_pair_gives_a_share_and_no_interval() -> None:
    found = compare([(2.0, 1.0)])
    assert found is not None and found.share == 0.5 and found.interval is None


def test_no_pair_gives_nothing() -> None:
    assert compare([]) is None


def test_a_base_that_is_not_told_from_nothing_gives_no_interval() -> None:
    found = compare([(0.1, 1.0), (9.0, 1.0)])
    assert found is not None and found.interval is None


def test_a_steady_drift_adds_to_one_pair_what_it_takes_from_the_other() -> None:
    blocks = [_block(at, removed, 100 + 10 * at) for at, removed in enumerate(ABBA)]
    pairs = [(base.step_s, without.step_s) for base, without in pair_blocks(blocks)]
    found = compare(pairs)
    assert found is not None and found.share == pytest.approx(0.0, abs=1e-9)


def test_a_block_without_its_neighbour_is_left_out() -> None:
    blocks = [_block(0, False, 10), _block(1, True, 5), _block(2, True, 5)]
    assert [(a.removed, b.removed) for a, b in pair_blocks(blocks)] == [(False, True)]


def test_two_pairs_of_slow_steps_become_four_of_half_the_length() -> None:
    blocks = [_block(at, removed, 600) for at, removed in enumerate(ABBA)]
    ends = np.array([block.start_ns + step * 100 for block in blocks for step in range(1, 7)])
    blocks = [Block(start_ns=b.start_ns, end_ns=b.end_ns, removed=b.removed, steps=6) for b in blocks]
    pairs = step_pairs(blocks, _optimizer(ends), lambda block: block.step_s, whole=False)
    assert len(pairs) == 4 and all(a == b == pytest.approx(1e-7) for a, b in pairs)
    assert len(step_pairs(blocks, _optimizer(ends), lambda block: block.step_s, whole=True)) == 2


def test_the_quantile_falls_to_that_of_the_normal_distribution() -> None:
    assert t95(0) == math.inf and t95(1) == 12.71 and t95(10**6) == 1.96


def _block(at: int, removed: bool, length_ns: int) -> Block:
    return Block(start_ns=at * 1000, end_ns=at * 1000 + length_ns, removed=removed, steps=1)


def _optimizer(ends: np.ndarray) -> Spans:  # type: ignore[type-arg]
    """Return optimizer steps that end at ``ends``."""
    count = len(ends)
    zeros = np.zeros(count, np.int64)
    return Spans(
        start_ns=ends - 1,
        end_ns=ends,
        kind=np.full(count, Kind.OPTIMIZER, np.uint8),
        flags=zeros.astype(np.uint8),
        thread=zeros.astype(np.uint16),
        name=zeros.astype(np.uint32),
        a=zeros,
        b=zeros,
        names=("",),
    )
