"""Real trainings on two gloo ranks with one planted trouble each: the right verdict, and the right rank."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from loops.measured import Ran, diagnose

SCRIPTS = Path(__file__).parent / "scripts"
SCRIPT = str(SCRIPTS / "exchange.py")
FREE = "--standalone"  # a free port is found, so that tests beside one another do not meet
pytestmark = [pytest.mark.slow, pytest.mark.timing]


def torchrun(folder: Path, *words: str, ranks: int = 2) -> Ran:
    """Return a run of the script with ``words`` under torchrun, to its end."""
    launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}", FREE]
    ran = diagnose(["--", *launcher, SCRIPT, *words], folder, "--full", "--quiet")
    assert ran.code == 0, ran.err
    assert not (ran.run / "agent-errors.log").exists()
    return ran


def values(report: Mapping[str, Any]) -> dict[str, float]:
    """Return the measurements by id."""
    return {name: entry["value"] for name, entry in report["measurements"].items()}


def printed(ran: Ran, word: str) -> dict[int, float]:
    """Return what the ranks printed behind ``word``, by rank."""
    return {int(rank): float(value) for rank, value in re.findall(rf"{word} (\d) (\S+)", ran.out)}


def test_a_large_model_with_little_to_compute_is_limited_by_communication(tmp_path: Path) -> None:
    ran = torchrun(tmp_path, "exchange", "80")
    report = ran.report
    assert report["verdict"]["bottleneck"] == "communication"
    found = values(report)
    assert found["ddp.buckets"] == 2 and found["comm.exchanges_per_backward"] == 1
    assert found["comm.bytes_per_step"] == pytest.approx(found["ddp.gradient_bytes"], rel=0.01)
    phases = {phase["phase"]: phase["share"] for phase in report["step"]["phases"]}
    assert phases["communication"] > phases["backward"]
    assert sum(phases.values()) == pytest.approx(1.0)


def test_exposed_time_is_what_ddps_own_clock_says(tmp_path: Path) -> None:
    ran = torchrun(tmp_path, "exchange", "100")
    true = printed(ran, "TRUE")
    measured = {rank["rank"]: rank["communication_s"] for rank in ran.report["ranks"]}
    assert set(true) == set(measured) == {0, 1}
    for rank, seconds in true.items():
        assert measured[rank] == pytest.approx(seconds, rel=0.10)


def test_losses_are_bit_for_bit_those_without_us(tmp_path: Path) -> None:
    import os
    import subprocess

    ran = torchrun(tmp_path, "micro", "12")
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        FREE,
        SCRIPT,
        "micro",
        "12",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    plain = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    sums = set(re.findall(r"SUM (\d) (\S+)", plain.stdout))
    assert len(sums) == 2
    assert sums == set(re.findall(r"SUM (\d) (\S+)", ran.out))
    found = values(ran.report)
    assert found["comm.exchanges"] == pytest.approx(3) and found["step.micro_batches"] == 3


@pytest.mark.parametrize(
    ("trouble", "constant", "cause"),
    [
        ("compute", 1, "straggler.compute_frac"),
        ("turns", 0, "straggler.compute_frac"),
        ("lengths", 0, "straggler.compute_frac"),
    ],
)
def test_ranks_that_compute_unevenly_are_stragglers(
    trouble: str, constant: int, cause: str, tmp_path: Path
) -> None:
    report = torchrun(tmp_path, trouble).report
    assert report["verdict"]["bottleneck"] == "straggler"
    found = values(report)
    assert found["straggler.constant"] == constant
    assert found[cause] > 0.7
    assert found["comm.wait_peer_s"] > found["comm.transfer_s"]
    if constant:
        assert found["straggler.rank"] == 1 and found["straggler.last_frac"] > 0.9
        assert "rank 1" in report["verdict"]["headline"]


def test_a_rank_that_becomes_slow_is_told_with_the_step(tmp_path: Path) -> None:
    found = values(torchrun(tmp_path, "late", "100").report)
    assert found["straggler.rank"] == 1 and found["straggler.constant"] == 1
    assert found["straggler.since_step"] == pytest.approx(50, abs=8)


def test_slow_input_on_one_rank_is_its_input_problem(tmp_path: Path) -> None:
    report = torchrun(tmp_path, "input").report
    assert report["verdict"]["family"] == "input"
    assert report["verdict"]["headline"].startswith("The ranks wait for rank 1. There:")
    found = values(report)
    assert found["straggler.rank"] == 1 and found["straggler.input_frac"] > 0.8
    firing = {finding["rule"] for finding in report["findings"] if finding["state"] == "fires"}
    assert not firing & {"communication", "straggler"}


def test_even_ranks_that_compute_are_healthy(tmp_path: Path) -> None:
    report = torchrun(tmp_path, "healthy").report
    assert report["verdict"]["state"] == "healthy"
    found = values(report)
    assert found["comm.exposed_frac"] < 0.25
    assert [rank["rank"] for rank in report["ranks"]] == [0, 1]


def test_four_ranks_and_the_slow_one_among_them(tmp_path: Path) -> None:
    report = torchrun(tmp_path, "compute", "40", ranks=4).report
    found = values(report)
    assert report["verdict"]["bottleneck"] == "straggler"
    assert found["ranks.seen"] == found["ranks.expected"] == 4
    assert found["straggler.rank"] == 1
