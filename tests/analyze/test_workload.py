"""The measured times of a run, in order: what a simulator replays."""

from __future__ import annotations

import numpy as np
import pytest
from trainbottleneck.analyze.measure import analyse
from trainbottleneck.model.record import ProcessRecord
from trainbottleneck.model.report import PHASES
from trainbottleneck.model.span import Kind
from trainbottleneck.model.workload import Workload
from trainbottleneck.predict.summary import simulated_run

from .records import Loop, process, run

SETTINGS = {"number": 1, "workers": 0, "prefetch_factor": None, "batch_size": 8, "persistent_workers": False}


def told(loop: Loop, *others: ProcessRecord) -> Workload | None:
    """Return the workload of a run of this loop."""
    return analyse(run(loop.process(), *others)).measurements.workload


def made_in_loop(steps: int = 60, batches: int = 1, every: int = 0) -> Loop:
    """Return a loop that makes its batches itself, and saves for 80 ms every so many steps."""
    loop = Loop().tell("loader", **SETTINGS).begin()
    for step in range(steps):
        for batch in range(batches):
            with loop.inside(Kind.NEXT, a=-1, b=1, flags=4 if step + batch == 0 else 0):
                loop.span(Kind.BATCH, 0.02 + 0.01 * (step % 2), a=8, b=10_000_000)
            loop.forward(0.01).backward(0.02)
        loop.step(0.005)
        if every and step % every == every - 1:
            loop.span(Kind.SAVE, 0.08, a=1000)
    return loop


def column(one: Workload, phase: str) -> np.ndarray:
    """Return one phase of every step."""
    return np.array(one.lanes[0].steps)[:, PHASES.index(phase)]


def test_steps_and_batches_are_kept_in_order() -> None:
    one = told(made_in_loop())
    assert one is not None and one.feeding is not None
    assert one.feeding.workers == 0 and one.feeding.batches == 1
    assert column(one, "forward") == pytest.approx(0.01)
    made = np.array(one.lanes[0].making_s)
    assert set(np.round(made, 6)) == {0.02, 0.03}
    assert (np.diff(made) != 0).all()
    assert one.step_s == pytest.approx(0.06, rel=0.01)
    assert one.count == len(one.lanes[0].steps)


def test_a_step_of_several_batches_is_told_by_its_fetches() -> None:
    one = told(made_in_loop(batches=3))
    assert one is not None and one.feeding is not None and one.feeding.batches == 3
    assert one.step_s == pytest.approx(3 * 0.055 + 0.005, rel=0.01)


def test_checkpoints_come_every_few_steps_and_are_not_in_the_rows() -> None:
    one = told(made_in_loop(every=5))
    assert one is not None
    (stall,) = one.lanes[0].stalls
    assert (stall.phase, stall.interval) == ("checkpoint", pytest.approx(5, rel=0.1))
    assert stall.seconds == pytest.approx([0.08] * len(stall.seconds))
    assert not column(one, "checkpoint").any()
    assert one.step_s == pytest.approx(0.06 + 0.016, rel=0.03)


def test_the_replay_gives_back_the_run() -> None:
    for loop in (made_in_loop(), made_in_loop(every=5), made_in_loop(batches=3)):
        simulated = simulated_run(analyse(run(loop.process())).measurements)
        assert simulated is not None
        assert simulated.reproduction_err == pytest.approx(0, abs=0.01)


def test_a_loop_without_a_loader_is_the_sum_of_its_phases() -> None:
    loop = Loop()
    for _ in range(60):
        loop.other(0.01).forward(0.02).backward(0.03).step(0.005)
    one = told(loop)
    assert one is not None and one.feeding is None
    assert one.step_s == pytest.approx(0.065)


def test_what_new_workers_make_first_is_told_apart() -> None:
    loop = Loop().tell("loader", **{**SETTINGS, "workers": 1, "prefetch_factor": 2})
    makers = []
    for epoch in range(6):
        loop.begin()
        rows, at = [], loop.now
        for batch in range(10):
            seconds = 0.5 if batch == 0 else 0.01
            rows.append((at, at + round(seconds * 1e9), Kind.BATCH, 0, 0, 0, 8, 5_000_000))
            at += round(seconds * 1e9)
        makers.append(process(rows, pid=200 + epoch, ppid=100))
        loop.fetch(0.51, first=True, ready=0).forward(0.02).backward(0.02).step(0.001)
        for _ in range(9):
            loop.fetch(0.001, ready=2).forward(0.02).backward(0.02).step(0.001)
        loop.exhaust()
    one = told(loop, *makers)
    assert one is not None and one.feeding is not None
    assert one.feeding.fresh_s == pytest.approx(0.49)
    assert one.feeding.start_s < 0.02
    assert one.lanes[0].making_s == pytest.approx([0.01] * len(one.lanes[0].making_s))


def test_long_runs_are_kept_in_even_stretches() -> None:
    one = told(made_in_loop(steps=2000))
    assert one is not None
    assert 400 <= len(one.lanes[0].steps) <= 512
    assert one.count > 1500


def test_ranks_that_took_the_same_steps_are_kept_together() -> None:
    ranks = []
    for rank in range(2):
        loop = Loop()
        for _ in range(60):
            loop.forward(0.02).backward(0.03 + 0.02 * rank)
            loop.span(Kind.COLLECTIVE, 0.025 - 0.02 * rank).step(0.005)
        ranks.append(loop.process(pid=100 + rank, rank=rank))
    one = analyse(run(*ranks)).measurements.workload
    assert one is not None and len(one.lanes) == 2
    simulated = simulated_run(analyse(run(*ranks)).measurements)
    assert simulated is not None and simulated.reproduction_err == pytest.approx(0, abs=0.01)


def test_too_few_steps_give_none() -> None:
    assert told(made_in_loop(steps=8)) is None
