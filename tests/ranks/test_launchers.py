"""However ranks are started, each is recorded and there is one report."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from loops.measured import diagnose
from trainbottleneck.model.span import Kind

SCRIPTS = Path(__file__).parent / "scripts"
SCRIPT = str(SCRIPTS / "launched.py")
SRUN = """for i in 0 1; do
  SLURM_PROCID=$i SLURM_LOCALID=$i SLURM_NTASKS=2 SLURM_NODEID=0 "$0" "$@" & pids="$pids $!"
done
code=0; for pid in $pids; do wait $pid || code=$?; done; exit $code"""
LAUNCHERS = {
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"],
    "srun": ["bash", "-c", SRUN, sys.executable],
}
pytestmark = [pytest.mark.slow, pytest.mark.timing]


@pytest.mark.parametrize("launcher", ["torchrun", "srun"])
def test_every_launchers_ranks_are_in_one_report(launcher: str, tmp_path: Path) -> None:
    target = ["--", *LAUNCHERS[launcher], SCRIPT, "env", str(tmp_path / "meet")]
    ran = diagnose(target, tmp_path, "--full", "--quiet")
    assert ran.code == 0, ran.err
    report = ran.report
    assert [rank["rank"] for rank in report["ranks"]] == [0, 1]
    assert report["measurements"]["ranks.expected"]["value"] == 2
    assert "comm.transfer_frac" in report["measurements"]
    told = [event.data["label"] for p in ran.record.processes for event in p.told("group")]
    assert told.count("tensor_parallel") == 2


def test_ranks_that_the_script_spawns_itself_are_told_by_their_group(tmp_path: Path) -> None:
    ran = diagnose([SCRIPT, "spawn", str(tmp_path / "meet")], tmp_path, "--full", "--quiet")
    assert ran.code == 0, ran.err
    report = ran.report
    assert [rank["rank"] for rank in report["ranks"]] == [0, 1]
    assert report["measurements"]["ddp.world"]["value"] == 2


def test_accelerate_launch_of_two_ranks(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launcher += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    target = ["--", *launcher, "--main_process_port", "0", str(SCRIPTS / "with_accelerate.py")]
    ran = diagnose(target, tmp_path, "--full", "--quiet")
    assert ran.code == 0, ran.err
    report = ran.report
    assert [rank["rank"] for rank in report["ranks"]] == [0, 1]
    assert report["measurements"]["ddp.used"]["value"] == 1
    assert report["measurements"]["comm.exchanges_per_backward"]["value"] == pytest.approx(1, abs=0.05)


def test_ranks_that_lightning_starts_stop_after_the_same_step(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    ran = diagnose([str(SCRIPTS / "with_lightning.py")], tmp_path, "--steps", "40", "--no-deep", "--quiet")
    assert ran.code == 0, ran.err
    report = ran.report
    assert [rank["rank"] for rank in report["ranks"]] == [0, 1]
    assert report["measurements"]["ddp.used"]["value"] == 1
    counts = {p.rank: len(p.spans.of(Kind.OPTIMIZER)) for p in ran.record.processes if p.told("stop")}
    assert set(counts) == {0, 1} and counts[0] == counts[1], counts
    assert "Traceback" not in ran.err


def test_a_rank_that_dies_is_named_and_the_rest_is_diagnosed(tmp_path: Path) -> None:
    target = ["--", *LAUNCHERS["srun"], SCRIPT, "dies", str(tmp_path / "meet")]
    ran = diagnose(target, tmp_path, "--full", "--quiet")
    assert ran.code != 0
    report = ran.report
    assert report["step"]["seen"] >= 20
    assert report["measurements"]["ranks.seen"]["value"] == 2
    # One of two sentences: whether it seems behind depends on what it had not written yet when it died.
    told = [reason for reason in report["verdict"]["reasons"] if reason.startswith("Rank 1 ")]
    assert len(told) == 1 and re.match(r"Rank 1 (broke off|ended) after [2-6]\d steps", told[0]), told


def test_a_rank_that_never_starts_is_named_and_the_rest_is_diagnosed(tmp_path: Path) -> None:
    alone = ["env", "RANK=0", "LOCAL_RANK=0", "WORLD_SIZE=2", sys.executable]
    ran = diagnose(["--", *alone, SCRIPT, "lonely", str(tmp_path / "meet")], tmp_path, "--full", "--quiet")
    assert ran.code == 0, ran.err
    report = ran.report
    told = " ".join(report["verdict"]["reasons"])
    assert "The answer rests on 1 of 2 ranks" in told and "Rank 1 left no record" in told
    assert report["step"]["seen"] >= 20
    assert report["measurements"]["ranks.seen"]["value"] == 1


def test_two_runs_at_once_do_not_meet(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def one(name: str) -> list[int]:
        folder = tmp_path / name
        target = ["--", *LAUNCHERS["torchrun"], SCRIPT, "env", str(tmp_path / f"meet-{name}")]
        ran = diagnose(target, folder, "--full", "--quiet")
        assert ran.code == 0, ran.err
        return sorted(p.rank for p in ran.record.processes if p.told("group") and p.rank is not None)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, ("first", "second"))) == [[0, 1], [0, 1]]
