"""Real trainings of every kind, measured by the command and by themselves: counts equal, seconds within 10 %."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from repeating import exactly
from trainbottleneck.analyze.trainer import batch_makers
from trainbottleneck.model.span import Flag, Kind

from .measured import SCRIPTS, Ran, compare, diagnose, execute, trainer_of, truths

LOOPS = (
    "plain",
    "accumulation",
    "gan",
    "gan_3",
    "lbfgs",
    "no_loader",
    "zipped",
    "validation",
    "recomputation",
    "recomputation_reentrant",
    "scaler",
    "thread",
    "fused_backward",
    "folds",
    "by_hand",
    "compiled",
    "iterable",
    "persistent",
    "spawn",
    "forkserver",
)
# Sleeps make the planted seconds: what the tiny model and the loop around it add stays below this.
WITHIN = 0.10
UNTIMED = {"compiled"}  # compiling takes longer than the sleeps and happens in the middle of the phases
pytestmark = [pytest.mark.slow, pytest.mark.timing]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return one run of all loops, each in a process of its own."""
    ran = diagnose([str(SCRIPTS / "many_loops.py")], tmp_path_factory.mktemp("many"), "--full", "--quiet")
    assert ran.code == 0, ran.err
    assert ran.err == "", ran.err
    assert set(ran.truths) == set(LOOPS)
    return ran


def check(ran: Ran, name: str) -> None:
    """Check every count exactly and, but for noise, every second."""
    _, seconds, counts = compare(ran, name)
    with exactly():
        assert {what: found for what, (_, found) in counts.items()} == {
            w: true for w, (true, _) in counts.items()
        }
        assert counts["steps"][0] >= 6
    if name not in UNTIMED:
        off = {phase: found / true - 1 for phase, (true, found) in seconds.items()}
        assert seconds
        assert all(abs(value) <= WITHIN for value in off.values()), (off, seconds)


@pytest.mark.parametrize("name", LOOPS)
def test_counts_and_seconds_are_those_the_script_counted_itself(many: Ran, name: str) -> None:
    check(many, name)


def test_the_thread_that_trains_is_found(many: Ran) -> None:
    with exactly():
        assert trainer_of(many, "thread").thread != trainer_of(many, "plain").thread == 0


@pytest.mark.parametrize(
    ("name", "workers"), [("iterable", 2), ("persistent", 1), ("spawn", 1), ("forkserver", 1)]
)
def test_workers_are_found_whatever_starts_them(many: Ran, name: str, workers: int) -> None:
    trainer = trainer_of(many, name)
    makers = batch_makers(trainer, many.record.processes)
    assert len(makers) == workers
    made = [m.spans.where((m.spans.kind == Kind.BATCH) & (m.spans.flags & Flag.STOP == 0)) for m in makers]
    # every batch that was asked for was made, by sleeping 30 ms for each of its two samples
    asked = trainer.spans.where((trainer.spans.kind == Kind.NEXT) & (trainer.spans.flags & Flag.STOP == 0))
    assert sum(len(spans) for spans in made) == len(asked)
    for spans in made:
        assert np.median(spans.end_ns - spans.start_ns) / 1e9 == pytest.approx(0.060, rel=WITHIN)


@pytest.mark.parametrize(("name", "loaders"), [("folds", [1, 2, 3, 4, 5]), ("persistent", [1, 1, 1])])
def test_loaders_made_anew_are_told_from_one_used_again(many: Ran, name: str, loaders: list[int]) -> None:
    spans = trainer_of(many, name).spans
    with exactly():
        assert spans.b[spans.kind == Kind.ITER].tolist() == loaders


def test_steps_the_scaler_skipped_are_counted(many: Ran) -> None:
    spans = trainer_of(many, "scaler").spans
    with exactly():
        assert int(spans.a[spans.kind == Kind.SCALER].sum()) == 2


def test_the_compiler_sees_the_same_graphs_as_without_us(many: Ran, tmp_path: Path) -> None:
    done = execute([sys.executable, str(SCRIPTS / "many_loops.py"), "compiled"], tmp_path)
    assert done.returncode == 0, done.stderr
    without = truths(tmp_path)["compiled"]["counters"]
    timeline, _, _ = compare(many, "compiled")
    with exactly():
        assert without["stats"]["unique_graphs"] >= 4
        assert sum(without["graph_break"].values()) >= 1
        assert many.truths["compiled"]["counters"] == without
        assert (timeline.totals[:, -3] > 0).sum() == 2  # the first shape and the second


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("lightning", ["lightning_loop.py"]),
        ("hugging_face", ["hugging_face_loop.py"]),
        ("accelerate", ["--", "accelerate", "launch", "--num_processes", "1", "--cpu", "accelerate_loop.py"]),
    ],
)
def test_a_framework_owns_the_loop(name: str, target: list[str], tmp_path: Path) -> None:
    ran = diagnose(target, tmp_path, "--full", "--quiet")
    assert ran.code == 0, ran.err
    check(ran, name)


def test_a_module_gets_its_own_options(tmp_path: Path) -> None:
    ran = diagnose(["-m", "pkg.train", "-o", "x", "--steps", "3", "-h"], tmp_path, "--full", "--quiet")
    assert ran.code == 0, ran.err
    assert ran.truths["module"]["argv"] == ["-o", "x", "--steps", "3", "-h"]
    check(ran, "module")
    report = ran.report
    assert report["step"]["seen"] == ran.truths["module"]["counts"]["steps"]
    assert sum(line["seconds"] for line in report["run"]["account"]) == pytest.approx(report["run"]["wall_s"])
    assert sum(phase["share"] for phase in report["step"]["phases"]) == pytest.approx(1.0)


def test_ranks_are_stopped_after_the_same_step(tmp_path: Path) -> None:
    ran = diagnose(["--", "torchrun", "--nproc-per-node", "2", "ranks.py"], tmp_path)
    assert ran.code == 0, ran.err
    assert "stopping the script" in ran.err
    report = ran.report
    steps = {name: truth["counts"]["steps"] for name, truth in ran.truths.items()}
    with exactly():
        assert len(steps) == 2
        # steps of experiments are not seen as they are
        assert steps["rank0"] == steps["rank1"] > report["step"]["seen"]
        assert report["run"]["stopped_by_us"] is True
        assert [rank["rank"] for rank in report["ranks"]] == [0, 1]
    for name in steps:
        timeline, seconds, _ = compare(ran, name)
        for phase in ("forward", "optimizer"):  # the backward pass waits for the other rank
            assert seconds[phase][1] == pytest.approx(seconds[phase][0], rel=WITHIN)
        assert len(timeline.totals) >= 30
