"""What the link can do, from reductions of growing sizes, and how much of it a run of built ranks uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from trainbottleneck.analyze.ranks.digest import digest
from trainbottleneck.analyze.ranks.link import fit
from trainbottleneck.model.ranks import RankDigest
from trainbottleneck.model.record import Event, ProcessRecord

from .test_ranks import TRANSFER, judged, measured, number, ranks

SIZES = [1024 * 4**power for power in range(8)]
BYTES = 4_000_000  # of the exchange in each step of ``ranks``


def line(latency_s: float, bytes_per_s: float, noise: Sequence[float] = (1.0,)) -> dict[str, Any]:
    """Return what a rank of two tells of a link that is as given; two ranks put each byte on the wire once."""
    times = [[round(1e6 * (latency_s + size / bytes_per_s) * n) for n in noise] for size in SIZES]
    return {"state": "done", "backend": "gloo", "world": 2, "sizes": SIZES, "times_us": times}


def telling(records: Sequence[ProcessRecord], kind: str, data: dict[str, Any]) -> list[ProcessRecord]:
    """Return the records with one more event each."""
    event = Event(kind=kind, time_ns=0, data=data)
    return [replace(record, events=(*record.events, event)) for record in records]


def two(link: dict[str, Any] | None, buckets: int = 1) -> list[ProcessRecord]:
    """Return two even ranks that exchange ``BYTES`` per step for ``TRANSFER`` seconds."""
    records = telling(ranks(2, lambda rank, step: 0.004), "ddp", {"buckets": buckets, "bytes": BYTES})
    return records if link is None else telling(records, "link", link)


def digests(link: dict[str, Any]) -> list[RankDigest]:
    """Return the digests of ``two``."""
    return [found for record in two(link) if (found := digest(record)) is not None]


def test_latency_and_rate_are_found_again() -> None:
    found = fit(digests(line(200e-6, 1e9)))
    assert found is not None
    assert found.latency_s == pytest.approx(200e-6, rel=0.01)
    assert found.bytes_per_s == pytest.approx(1e9, rel=0.01)
    assert found.even_bytes == pytest.approx(200_000, rel=0.02)
    assert found.calls == 2 * len(SIZES)


def test_two_calls_in_five_that_the_machine_disturbed_change_nothing() -> None:
    found = fit(digests(line(200e-6, 1e9, noise=(1.0, 9.0, 1.0, 9.0, 1.0))))
    assert found is not None
    assert found.latency_s == pytest.approx(200e-6, rel=0.01)
    assert found.bytes_per_s == pytest.approx(1e9, rel=0.01)


def test_a_slow_link_of_which_only_small_sizes_were_measured_is_known_too() -> None:
    told = line(5e-3, 1e7)
    cut = {**told, "sizes": told["sizes"][:5], "times_us": told["times_us"][:5]}
    found = fit(digests(cut))
    assert found is not None
    assert found.bytes_per_s == pytest.approx(1e7, rel=0.02)
    assert fit(digests({**told, "sizes": told["sizes"][:2], "times_us": told["times_us"][:2]})) is None


@pytest.mark.parametrize(
    "told",
    [
        {"state": "refused", "reason": "not all ranks came to measure the link"},
        {"state": "done", "world": 2, "sizes": SIZES, "times_us": [[0]] * 8},
        {"state": "done", "world": 2, "sizes": SIZES, "times_us": [[90 - 10 * n] for n in range(8)]},
        {"state": "done", "world": 1, "sizes": SIZES, "times_us": [[10]] * 8},
        {"state": "done", "world": "two", "sizes": SIZES},
    ],
)
def test_what_is_no_line_is_no_link(told: dict[str, Any]) -> None:
    assert fit(digests(told)) is None


def test_a_full_link_is_told_from_one_that_waits_for_latency() -> None:
    full = measured(two(line(100e-6, BYTES / TRANSFER)))
    assert number(full, "comm.link_used_frac") == pytest.approx(1.0, rel=0.01)
    assert number(full, "comm.latency_frac") == pytest.approx(100e-6 / TRANSFER, rel=0.02)
    many = measured(two(line(100e-6, 1e9), buckets=60))
    assert number(many, "comm.reductions") == 60
    assert number(many, "comm.link_used_frac") == pytest.approx(BYTES / TRANSFER / 1e9, rel=0.01)
    assert number(many, "comm.latency_frac") == pytest.approx(60 * 100e-6 / TRANSFER, rel=0.02)
    assert number(many, "comm.sized_frac") == pytest.approx(1 - 0.6, rel=0.02)


def test_without_a_probe_it_is_said_why_and_all_time_counts_as_that_of_bytes() -> None:
    refused = measured(two({"state": "refused", "reason": "there was a reason"}))
    assert refused.measurements.number("comm.link_used_frac") is None
    assert refused.measurements.why_missing("comm.link_used_frac") == "there was a reason"
    assert number(refused, "comm.sized_frac") == 1.0
    never = measured(two(None))
    assert "at the end of runs" in never.measurements.why_missing("comm.latency_frac")


def test_the_report_says_what_the_link_could_do() -> None:
    report = judged(two(line(100e-6, 1e9), buckets=60))
    (finding,) = [one for one in report.findings if one.rule == "communication"]
    assert "40 %" in finding.text and "60 %" in finding.text, finding.text


@pytest.mark.parametrize(("buckets", "low", "high"), [(60, 1.2, 1.6), (2, None, None)])
def test_larger_buckets_are_priced_by_the_latency_they_save(
    buckets: int, low: float | None, high: float | None
) -> None:
    report = judged(two(line(100e-6, 1e9), buckets=buckets))
    (advice,) = [one for one in report.mitigations if one.id == "ddp_bucket_size"]
    if low is None or high is None:
        assert advice.speedup is None
    else:
        assert advice.speedup is not None and low < advice.speedup.likely < high
