"""CPU time of a run's processes, those included that no sample saw."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from trainbottleneck.analyze.host import _tree_cpu_s
from trainbottleneck.model.record import SystemSample

Processes = Mapping[int, Mapping[str, float]]


def samples(*moments: Processes) -> list[SystemSample]:
    return [SystemSample(time_ns=n * 10**9, machine={}, processes=each) for n, each in enumerate(moments)]


def test_workers_that_no_sample_saw_count() -> None:
    found = samples({1: {"cpu_s": 5.0, "ended_cpu_s": 1.0}}, {1: {"cpu_s": 8.0, "ended_cpu_s": 4.0}})
    assert _tree_cpu_s(found) == pytest.approx(3.0 + 3.0)


def test_a_worker_that_was_seen_and_ended_counts_once() -> None:
    found = samples(
        {1: {"cpu_s": 5.0, "ended_cpu_s": 0.0}, 2: {"cpu_s": 2.0, "ended_cpu_s": 0.0}},
        {1: {"cpu_s": 6.0, "ended_cpu_s": 0.0}, 2: {"cpu_s": 3.0, "ended_cpu_s": 0.0}},
        {1: {"cpu_s": 7.0, "ended_cpu_s": 3.5}},
    )
    assert _tree_cpu_s(found) == pytest.approx(2.0 + 1.5)


def test_children_that_nobody_waited_for_count_as_far_as_they_were_seen() -> None:
    found = samples(
        {1: {"cpu_s": 5.0, "ended_cpu_s": 0.0}},
        {1: {"cpu_s": 6.0, "ended_cpu_s": 0.0}, 2: {"cpu_s": 3.0, "ended_cpu_s": 0.0}},
        {1: {"cpu_s": 7.0, "ended_cpu_s": 0.0}},
    )
    assert _tree_cpu_s(found) == pytest.approx(2.0 + 3.0)


def test_older_records_do_not_tell_of_ended_children() -> None:
    assert _tree_cpu_s(samples({1: {"cpu_s": 5.0}, 2: {"cpu_s": 1.0}}, {1: {"cpu_s": 6.0}})) == pytest.approx(
        1.0
    )
