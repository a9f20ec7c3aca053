"""Which steps the statistics rest on."""

from __future__ import annotations

import numpy as np
import pytest
from trainbottleneck.analyze.measure import analyse
from trainbottleneck.analyze.phases import COLUMN
from trainbottleneck.analyze.trainer import batch_makers, find_trainers
from trainbottleneck.model.record import Stacks
from trainbottleneck.model.span import Kind

from .records import START_NS, Loop, process, run


def window(start_s: float, end_s: float) -> Stacks:
    """Return a stack window between two moments of the virtual clock."""
    at = [START_NS + round(second * 1e9) for second in (start_s, end_s)]
    return Stacks(start_ns=at[0], end_ns=at[1], rate_hz=20.0, counts=())


def test_slow_first_steps_are_warm_up() -> None:
    loop = Loop()
    for number in range(100):
        loop.fetch().forward(0.5 if number < 12 else 0.02).backward().step()
    timeline = loop.timeline()
    assert 12 <= timeline.steady.excluded["warm-up"] <= 20
    assert timeline.mean_phases()[COLUMN["forward"]] == pytest.approx(0.02)


def test_even_steps_lose_only_the_first_few() -> None:
    assert Loop().plain(100).timeline().steady.excluded == {"warm-up": 5}


def test_steps_that_live_on_prefetched_batches_are_warm_up() -> None:
    loop = Loop().tell("loader", number=1, workers=4, prefetch_factor=3)
    for number in range(100):
        loop.fetch(0.0001 if number < 12 else 0.1).forward().backward().step()
    timeline = loop.timeline()
    assert timeline.steady.excluded["warm-up"] >= 14
    assert timeline.mean_phases()[COLUMN["data_wait"]] == pytest.approx(0.1)


def test_the_first_compilations_are_warm_up() -> None:
    loop = Loop()
    for number in range(60):
        loop.fetch()
        with loop.inside(Kind.FORWARD, flags=3):
            if number in (0, 7):
                loop.span(Kind.COMPILE, 1.0)
            loop.other(0.02)
        loop.backward().step()
    timeline = loop.timeline()
    assert timeline.steady.excluded["warm-up"] >= 8
    measured = analyse(run(loop.process())).measurements
    assert measured.number("compile.frames") == 2
    assert measured.number("compile.late") == 0


def test_compiling_in_every_step_is_the_bottleneck_not_warm_up() -> None:
    loop = Loop()
    for _ in range(60):
        loop.fetch()
        with loop.inside(Kind.FORWARD, flags=3):
            loop.span(Kind.COMPILE, 1.0).other(0.02)
        loop.backward().step()
    timeline = loop.timeline()
    assert timeline.steady.excluded["warm-up"] <= 6
    measured = analyse(run(loop.process())).measurements
    assert (measured.number("compile.late") or 0) >= 50
    assert measured.number("compile.late_frac") == pytest.approx(1.0 / 1.065, rel=0.02)


def test_a_run_that_never_settles_keeps_most_of_its_steps() -> None:
    loop = Loop()
    for number in range(100):
        loop.fetch().forward(0.02 * 0.95**number + 0.001).backward(0.001).step(0.001)
    assert loop.timeline().steady.settled.sum() >= 60


def test_steps_in_which_stacks_were_sampled_are_not_timed() -> None:
    loop = Loop()
    for number in range(100):
        loop.fetch(0.2 if 40 <= number < 50 else 0.01).forward().backward().step()
    begin = 40 * 0.065
    timeline = loop.timeline([window(begin + 0.01, begin + 2.0)])
    assert timeline.steady.excluded["stacks were sampled"] == 8
    timed = np.flatnonzero(~timeline.steady.timed)
    assert timed.tolist() == [0, 1, 2, 3, 4, *range(40, 48)]


def test_a_checkpoint_inside_a_stack_window_still_counts() -> None:
    loop = Loop().plain(50).span(Kind.SAVE, 2.0).plain(50)
    timeline = loop.timeline([window(50 * 0.065, 50 * 0.065 + 1.0)])
    assert not timeline.steady.timed[50]
    assert timeline.mean_phases()[COLUMN["checkpoint"]] == pytest.approx(2.0 / 95)


def test_sampled_steps_are_better_than_few() -> None:
    timeline = Loop().plain(30).timeline([window(0, 1000)])
    assert timeline.steady.timed.sum() == 25
    short = Loop().plain(60).timeline([window(10 * 0.065 + 0.01, 1000)])
    assert short.steady.timed.sum() == 55 and short.steady.excluded == {"warm-up": 5}


def test_files_saved_in_one_step_are_one_checkpoint_however_fast_the_steps_are() -> None:
    loop = Loop().plain(10)
    for _ in range(5):
        loop.span(Kind.SAVE, 0.002, a=1000).other(0.001).span(Kind.SAVE, 0.002, a=3000)
        for _ in range(2):
            loop.fetch(0.001).forward(0.001).backward(0.001).step(0.001)
    measured = analyse(run(loop.process())).measurements
    assert measured.number("checkpoint.count") == 5
    assert measured.number("checkpoint.bytes") == 4000
    assert measured.number("checkpoint.each_s") == pytest.approx(0.004)


@pytest.mark.parametrize(
    ("loop", "result"),
    [
        (Loop().fetch().infer().fetch().infer(), "NO_STEPS"),
        (Loop().plain(8), "TOO_FEW_STEPS"),
        (Loop().plain(40), "OK"),
    ],
)
def test_too_little_has_a_name(loop: Loop, result: str) -> None:
    assert analyse(run(loop.process())).result == result


def test_without_any_process_there_was_no_torch() -> None:
    assert analyse(run()).result == "NO_TORCH"


def test_ranks_train_and_a_server_that_warmed_up_does_not() -> None:
    ranks = [Loop().plain(200).process(pid=10 + rank, rank=rank) for rank in (1, 0)]
    other = Loop().plain(1).process(pid=30)
    found = find_trainers([other, *ranks])
    assert [trainer.process.rank for trainer in found] == [0, 1]


def test_workers_below_a_server_process_make_batches_and_strangers_do_not() -> None:
    trainer = find_trainers([Loop().plain(5).process(pid=10)])[0]
    server = process([], pid=20, ppid=10)
    worker = process([(0, 5, Kind.BATCH, 0, 0, 0, 8, 3)], pid=21, ppid=20)
    # the server of this one never had anything to record, but multiprocessing tells who asked for it
    served = process([(0, 5, Kind.BATCH, 0, 0, 0, 8, 3)], pid=31, ppid=30, header={"maker": 10})
    stranger = process([(0, 5, Kind.BATCH, 0, 0, 0, 8, 3)], pid=40, ppid=1)
    found = batch_makers(trainer, [trainer.process, server, worker, served, stranger])
    assert [maker.pid for maker in found] == [21, 31]
