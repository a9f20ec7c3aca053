"""Ranks compared on virtual clocks: waits, transfers, stragglers, clocks of several hosts, ranks that are missing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trainbottleneck import rulebook
from trainbottleneck.analyze.measure import Analysed, analyse
from trainbottleneck.analyze.phases import COLUMN
from trainbottleneck.analyze.ranks.clocks import align
from trainbottleneck.analyze.ranks.condense import Condenser
from trainbottleneck.analyze.ranks.digest import BINS, digest
from trainbottleneck.analyze.ranks.exchange import stride_for
from trainbottleneck.analyze.ranks.roster import call
from trainbottleneck.analyze.ranks.survey import compare
from trainbottleneck.diagnosis import diagnose
from trainbottleneck.model.record import Event, ProcessRecord
from trainbottleneck.model.report import Report
from trainbottleneck.model.span import Flag, Kind
from trainbottleneck.store import load

from .records import START_NS, Loop, process, run

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TRANSFER = 0.01
Own = Callable[[int, int], float]  # rank, step -> seconds of forward and backward


def ranks(
    count: int,
    own: Own,
    steps: int = 100,
    *,
    fetch: Own = lambda rank, step: 0.001,
    header: Callable[[int], dict[str, Any]] = lambda rank: {},
    clock: Callable[[int, int], int] = lambda rank, now: now,
    last: Callable[[int], int] | None = None,
    label: str = "default_pg",
) -> list[ProcessRecord]:
    """Return the records of ranks that meet once a step and are let go ``TRANSFER`` after the last has come."""
    loops = [Loop() for _ in range(count)]
    for step in range(steps):
        starts = []
        for rank, loop in enumerate(loops):
            loop.fetch(fetch(rank, step)).forward(own(rank, step) / 2)
            starts.append(loop.now)
            loop.other(own(rank, step) / 2)
        end = max(loop.now for loop in loops) + round(TRANSFER * 1e9)
        for loop, start in zip(loops, starts, strict=True):
            loop.rows.append((loop.now, end, Kind.COLLECTIVE, 0, 0, name_of(loop), 4_000_000, step << 16 | 1))
            loop.rows.append((start, end, Kind.BACKWARD, 0, 0, 0, 0, 0))
            loop.now = end
            loop.step(0.001)
    return [
        _record(rank, loop, count, header(rank), clock, label, last(rank) if last else steps)
        for rank, loop in enumerate(loops)
    ]


def name_of(loop: Loop, name: str = "ddp_all_reduce") -> int:
    """Return the number of a name in a loop's record."""
    if name not in loop.names:
        loop.names.append(name)
    return loop.names.index(name)


def _record(
    rank: int,
    loop: Loop,
    count: int,
    header: dict[str, Any],
    clock: Callable[[int, int], int],
    label: str,
    steps: int,
) -> ProcessRecord:
    """Return one rank's record on its own clock, its last steps cut off."""
    ends = [row[1] for row in loop.rows if row[2] == Kind.OPTIMIZER][:steps]
    rows = [(clock(rank, r[0]), clock(rank, r[1]), *r[2:]) for r in loop.rows if r[1] <= ends[-1]]
    world = {"name": "0", "label": label, "backend": "gloo", "world": True, "size": count, "members": 7}
    loop.tell("group", number=1, rank=rank, **world)
    told = {"ranks": {"RANK": str(rank), "WORLD_SIZE": str(count)}, "host": "a", **header}
    return process(rows, names=loop.names, events=loop.events, pid=100 + rank, rank=rank, header=told)


def measured(records: Sequence[ProcessRecord]) -> Analysed:
    """Return what the analyses make of a run of these ranks."""
    return analyse(run(*records))


def number(found: Analysed, name: str) -> float:
    """Return a measurement that must be there."""
    value = found.measurements.number(name)
    assert value is not None, name
    return value


def judged(records: Sequence[ProcessRecord]) -> Report:
    """Return the report on a run of these ranks."""
    return diagnose(run(*records), rulebook.load([rulebook.shipped()]))


def test_the_exchange_inside_backward_is_communication_to_the_nanosecond() -> None:
    records = ranks(2, lambda rank, step: 0.02)
    for timeline in measured(records).timelines:
        assert (timeline.totals.sum(axis=1) == np.diff(timeline.bounds_ns)).all()
        assert (timeline.totals[1:, COLUMN["communication"]] == round(TRANSFER * 1e9)).all()
        assert (timeline.totals[1:, COLUMN["backward"]] == 10_000_000).all()


def test_waiting_for_a_peer_and_transfer_are_two_numbers() -> None:
    found = measured(ranks(2, lambda rank, step: 0.05 if rank else 0.02))
    assert number(found, "comm.transfer_s") == pytest.approx(TRANSFER, rel=1e-6)
    assert number(found, "comm.wait_peer_s") == pytest.approx(
        0.015, rel=1e-6
    )  # rank 0 waits 30 ms, rank 1 none
    assert number(found, "comm.exposed_s") == pytest.approx(0.025, rel=1e-6)
    assert number(found, "comm.bytes_per_step") == 4_000_000
    wire = 2 * (2 - 1) / 2 * 4_000_000
    assert number(found, "comm.bus_bytes_per_s") == pytest.approx(wire / TRANSFER, rel=1e-6)


def test_the_report_describes_the_rank_the_others_wait_for() -> None:
    report = judged(ranks(4, lambda rank, step: 0.06 if rank == 2 else 0.02))
    assert report.verdict.bottleneck == "straggler"
    assert report.verdict.share == pytest.approx(0.04 / 0.072, rel=0.01)
    assert "rank 2" in report.verdict.headline
    assert any("All times are those of rank 2" in reason for reason in report.verdict.reasons)
    assert [row["rank"] for row in report.ranks] == [0, 1, 2, 3]
    assert report.ranks[2]["note"] == "the latest"
    assert report.ranks[2]["behind_s"] == pytest.approx(0.04)
    assert {phase.phase: phase.seconds for phase in report.step.phases}["communication"] == pytest.approx(
        TRANSFER
    )  # type: ignore[union-attr]


def test_slow_input_on_one_rank_is_an_input_problem_there() -> None:
    records = ranks(3, lambda rank, step: 0.02, fetch=lambda rank, step: 0.05 if rank == 1 else 0.001)
    report = judged(records)
    assert report.verdict.family == "input"
    assert report.verdict.headline.startswith("The ranks wait for rank 1. There: training waits for data")
    states = {finding.rule: finding.state for finding in report.findings}
    assert states["straggler"] == "silent"
    found = measured(records)
    assert number(found, "straggler.input_frac") == pytest.approx(1.0)


def test_a_large_exchange_between_even_ranks_is_communication() -> None:
    report = judged(ranks(2, lambda rank, step: 0.004))
    assert report.verdict.bottleneck == "communication"
    assert report.verdict.share == pytest.approx(TRANSFER / 0.016, rel=0.01)


def test_ranks_that_are_late_by_turns_are_no_constant_straggler() -> None:
    found = measured(ranks(4, lambda rank, step: 0.05 if step % 4 == rank else 0.02, steps=200))
    assert number(found, "straggler.constant") == 0
    assert number(found, "straggler.constant_frac") == pytest.approx(0.0, abs=0.01)
    # Evened out, all would take 27.5 ms and none 50.
    assert number(found, "straggler.random_frac") == pytest.approx(0.0225 / 0.062, rel=0.02)
    assert number(found, "straggler.compute_frac") == pytest.approx(1.0)
    assert found.survey is not None and found.survey.described is None


def test_it_is_told_since_when_a_rank_is_slow() -> None:
    found = measured(ranks(3, lambda rank, step: 0.06 if rank == 1 and step >= 120 else 0.02, steps=200))
    assert number(found, "straggler.rank") == 1
    assert number(found, "straggler.since_step") == pytest.approx(120, abs=6)
    assert found.measurements.labels["straggler.since"].startswith("since about step 1")


def test_a_rank_slow_all_along_is_so_since_the_first_step() -> None:
    found = measured(ranks(3, lambda rank, step: 0.06 if rank == 1 else 0.02, steps=200))
    assert found.measurements.labels["straggler.since"] == "since the first step"


def test_a_slow_host_is_told_from_a_slow_rank() -> None:
    header = lambda rank: {"host": f"node{rank // 2}", "wall_ns": 10**18, "monotonic_ns": START_NS}  # noqa: E731
    slow_host = measured(ranks(6, lambda rank, step: 0.05 if rank in (2, 3) else 0.02, header=header))
    assert slow_host.measurements.labels["straggler.who"] == "every rank on node1"
    slow_rank = measured(ranks(6, lambda rank, step: 0.05 if rank == 2 else 0.02, header=header))
    assert slow_rank.measurements.labels["straggler.who"] == "rank 2 on node1"


def test_clocks_of_hosts_that_are_hours_apart_and_drift_are_brought_together() -> None:
    far = 7_200_000_000_000

    def clock(rank: int, now: int) -> int:
        return now if rank < 2 else now + far + (now - START_NS) // 20_000  # 50 ppm, a usual quartz

    header = lambda rank: {"host": "b" if rank >= 2 else "a"}  # noqa: E731
    own = lambda rank, step: 0.02 + 0.01 * (rank == 3)  # noqa: E731
    apart = measured(ranks(4, own, steps=200, clock=clock, header=header))
    same = measured(ranks(4, own, steps=200))
    for name in ("comm.wait_peer_s", "comm.transfer_s"):
        assert number(apart, name) == pytest.approx(number(same, name), abs=2e-5)
    assert number(apart, "straggler.rank") == number(same, "straggler.rank") == 3
    digests = [d for d in map(digest, ranks(4, own, steps=200, clock=clock, header=header)) if d]
    clocks = align(digests)
    found = clocks[digests[3].key]
    assert found.to_reference(np.array([far + START_NS + 5e9 + 5e9 / 20_000])) == pytest.approx(
        START_NS + 5e9, abs=2e4
    )
    assert found.drift == pytest.approx(5e-5, rel=0.05)
    assert clocks[digests[0].key].offset_ns == 0


def test_containers_that_share_a_name_are_two_machines() -> None:
    header = lambda rank: {"host": "worker", "wall_ns": 10**18, "monotonic_ns": START_NS + rank * 10**13}  # noqa: E731
    clock = lambda rank, now: now + rank * 10**13  # noqa: E731
    found = measured(ranks(2, lambda rank, step: 0.05 if rank else 0.02, header=header, clock=clock))
    assert number(found, "comm.wait_peer_s") == pytest.approx(0.015, rel=1e-3)


def test_an_asynchronous_call_waits_from_its_wait_on() -> None:
    loops = [Loop(), Loop()]
    for step in range(60):
        for rank, loop in enumerate(loops):
            loop.fetch(0.001).other(0.01 if rank else 0.0)
            launched = loop.now
            tag = step << 16 | 1
            loop.rows.append(
                (
                    loop.now,
                    loop.now + 1000,
                    Kind.COLLECTIVE,
                    Flag.NON_BLOCKING,
                    0,
                    name_of(loop, "all_reduce"),
                    8,
                    tag,
                )
            )
            loop.now += 1000
            loop.other(0.004)
            loop.rows.append((loop.now, 0, launched, 0, 0, 0, 0, 0))  # filled below
        end = max(loop.now for loop in loops) + 2_000_000
        for loop in loops:
            start, _, launched, *_ = loop.rows.pop()
            number_ = name_of(loop, "all_reduce")
            loop.rows.append(
                (start, end, Kind.COLLECTIVE, Flag.WAIT, 0, number_, start - launched, step << 16 | 1)
            )
            loop.now = end
            loop.forward(0.001).backward(0.001).step(0.001)
    records = [
        _record(r, loop, 2, {}, lambda rank, now: now, "default_pg", 60) for r, loop in enumerate(loops)
    ]
    found = measured(records)
    assert number(found, "comm.calls") == 1
    # Rank 1 launches 10 ms later: rank 0, 4 ms later at its wait, still waits 6 ms of its 12.
    assert number(found, "comm.wait_peer_s") == pytest.approx(0.003, rel=0.01)
    assert number(found, "comm.transfer_s") == pytest.approx((0.006 + 0.002) / 2 + 1e-6, rel=0.01)


def test_groups_carry_their_label() -> None:
    found = measured(ranks(2, lambda rank, step: 0.02))
    assert found.measurements.labels["comm.groups"] == "gradients (DDP) on world of 2"


def test_missing_idle_and_dead_ranks_are_named_and_the_rest_is_diagnosed() -> None:
    records = ranks(6, lambda rank, step: 0.02, last=lambda rank: 40 if rank == 4 else 100)
    seen = [record for record in records if record.rank not in (1, 5)]
    seen.append(process([], pid=7, rank=5, header={"ranks": {"RANK": "5"}}))
    report = judged(seen)
    told = " ".join(report.verdict.reasons)
    assert "The answer rests on 4 of 6 ranks" in told
    assert "Rank 1 left no record" in told
    assert "Rank 5 started but took no step." in told
    assert "Rank 4 ended after 39 steps" in told
    assert report.verdict.state != "insufficient"


def test_a_rank_that_broke_off_is_named_though_its_peers_fell_in_the_same_step() -> None:
    records = ranks(3, lambda rank, step: 0.02)
    orderly = [
        replace(record, events=(*record.events, Event(kind="exit", time_ns=0, data={})))
        for record in records
        if record.rank != 1
    ]
    report = judged([*orderly, records[1]])
    told = " ".join(report.verdict.reasons)
    assert "Rank 1 broke off after 99 steps, as by a crash or a kill" in told
    assert report.ranks[1]["note"] == "ended early"
    assert not [reason for reason in judged(records).verdict.reasons if "broke off" in reason]  # all killed


def test_attempts_of_an_elastic_launcher_are_kept_apart() -> None:
    def header(attempt: int) -> Callable[[int], dict[str, Any]]:
        return lambda rank: {
            "ranks": {"RANK": str(rank), "WORLD_SIZE": "2", "TORCHELASTIC_RESTART_COUNT": str(attempt)}
        }

    first = ranks(2, lambda rank, step: 0.2, steps=20, header=header(0))
    again = ranks(2, lambda rank, step: 0.02, steps=100, header=header(1))
    for number_, record in enumerate(again):
        object.__setattr__(record, "key", f"p{200 + number_}-1")
    report = judged([*first, *again])
    assert report.step is not None and report.step.seconds["median"] == pytest.approx(0.032, rel=0.01)
    assert [row["rank"] for row in report.ranks] == [0, 1]
    assert any(
        "this is attempt 1" in reason and "attempt 0 with 19 steps" in reason
        for reason in report.verdict.reasons
    )


def test_one_process_alone_has_no_ranks() -> None:
    report = judged([Loop().plain(50).process()])
    assert "ranks" not in report.pictures
    assert not [name for name in report.measurements if name.split(".")[0] in ("comm", "straggler", "ranks")]
    states = {finding.rule: finding.state for finding in report.findings}
    assert states["communication"] == states["straggler"] == "silent"


def test_the_stride_shares_no_factor_with_the_calls_of_a_step() -> None:
    assert stride_for(100, 100) == 1
    assert [stride_for(calls, 100) for calls in (101, 201, 301, 400, 900)] == [2, 3, 5, 5, 11]


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the record of a hundred ranks on 13 hosts, rank 66 of which is slow from step 40 of 120 on."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from many_ranks import Plan, write
    finally:
        sys.path.remove(str(BENCHMARKS))
    folder = tmp_path_factory.mktemp("ranks") / "run"
    write(folder, Plan(ranks=100, steps=120, slow=66, since=40))
    return folder


def test_many_ranks_are_condensed_and_few_kept_whole(hundred: Path) -> None:
    record = load(hundred, Condenser())
    assert len(record.ranks) == 100
    assert len(record.processes) == 3
    assert 66 in {kept.rank for kept in record.processes}
    assert all(len(d.heat_s) == BINS for d in record.ranks)


def test_condensed_and_whole_give_the_same_answer(hundred: Path) -> None:
    book = rulebook.load([rulebook.shipped()])
    condensed, whole = diagnose(load(hundred, Condenser()), book), diagnose(load(hundred), book)
    assert condensed.verdict == whole.verdict
    assert condensed.ranks == whole.ranks
    assert condensed.pictures["ranks"] == whole.pictures["ranks"]
    assert condensed.verdict.bottleneck == "straggler"
    assert condensed.measurements["straggler.rank"]["value"] == 66
    assert condensed.measurements["straggler.since_step"]["value"] == pytest.approx(40, abs=5)
    assert len(condensed.ranks) < 16
    assert len(condensed.pictures["ranks"]["heat"]["rows"]) <= 64


def test_the_comparison_does_not_depend_on_the_order_of_reading(hundred: Path) -> None:
    record = load(hundred, Condenser())
    ahead, back = compare(call(record.ranks)), compare(call(reversed(record.ranks)))
    assert ahead.straggling is not None and back.straggling is not None
    assert ahead.straggling.cost_s == back.straggling.cost_s
    assert ahead.described == back.described
