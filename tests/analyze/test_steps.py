"""Where a step ends, in every kind of loop; its phases and the micro-batches in it."""

from __future__ import annotations

import numpy as np
import pytest
from trainbottleneck.analyze.phases import COLUMN
from trainbottleneck.analyze.timeline import Timeline
from trainbottleneck.model.span import Flag, Kind

from .records import Loop


def seconds(timeline: Timeline, step: int, phase: str) -> float:
    """Return the seconds of one phase in one step."""
    return float(timeline.totals[step, COLUMN[phase]]) / 1e9


def steps(timeline: Timeline) -> int:
    """Return how many steps were found."""
    return len(timeline.totals)


def test_a_plain_step_is_its_four_phases_and_the_rest_is_other() -> None:
    loop = Loop()
    for _ in range(5):
        loop.fetch(0.01).other(0.002).forward(0.02).backward(0.03).step(0.005)
    timeline = loop.timeline()
    assert steps(timeline) == 5
    phases = {"data_wait": 0.01, "other": 0.002, "forward": 0.02, "backward": 0.03, "optimizer": 0.005}
    for step in range(5):
        assert {name: seconds(timeline, step, name) for name in phases} == phases
        assert timeline.totals[step].sum() == 67_000_000
    assert timeline.boundaries.definition == "one optimizer step"


def test_accumulated_micro_batches_are_one_step() -> None:
    loop = Loop()
    for _ in range(6):
        for _ in range(4):
            loop.fetch().forward().backward()
        loop.step()
    timeline = loop.timeline()
    assert steps(timeline) == 6
    assert timeline.micro_batches.tolist() == [4] * 6
    assert not len(timeline.evaluation.start_ns)


@pytest.mark.parametrize("every", [1, 5])
def test_a_gan_cycle_is_one_step_and_the_rarer_optimizer_closes_it(every: int) -> None:
    loop = Loop()
    for number in range(1, 31):
        loop.fetch().forward(grad=False, name="G").forward(name="D").backward().step(optimizer=1)
        if number % every == 0:
            loop.forward(name="G").forward(name="D").backward().step(optimizer=2)
    timeline = loop.timeline()
    assert steps(timeline) == 30 // every
    assert "2 optimizers" in timeline.boundaries.definition
    assert not len(timeline.evaluation.start_ns)


def test_optimizers_whose_generator_runs_first_still_close_at_the_next_fetch() -> None:
    loop = Loop()
    for _ in range(12):
        loop.fetch().forward().backward().step(optimizer=2).forward().backward().step(optimizer=1)
    timeline = loop.timeline()
    assert steps(timeline) == 12
    assert all(seconds(timeline, step, "data_wait") == 0.01 for step in range(12))
    assert timeline.bounds_ns[-1] == loop.now


def test_optimizers_one_after_another_count_each_in_its_own_stretch() -> None:
    loop = Loop()
    for fold in range(3):
        for _ in range(7):
            loop.fetch(loader=fold + 1).forward().backward().step(optimizer=fold + 1)
    timeline = loop.timeline()
    assert steps(timeline) == 21
    assert "one after another" in timeline.boundaries.definition
    assert timeline.evaluation.loaders == {1, 2, 3}


def test_forward_and_backward_inside_the_optimizer_are_not_optimizer_time() -> None:
    loop = Loop()
    for _ in range(5):
        loop.fetch()
        with loop.inside(Kind.OPTIMIZER, b=1):
            for _ in range(3):
                loop.forward(0.02).backward(0.03).other(0.001)
    timeline = loop.timeline()
    assert steps(timeline) == 5
    assert timeline.passes.tolist() == [3] * 5
    assert timeline.micro_batches.tolist() == [1] * 5  # a closure's passes are of one batch
    assert [seconds(timeline, 2, name) for name in ("forward", "backward", "optimizer")] == [
        0.06,
        0.09,
        0.003,
    ]


def test_a_closure_that_accumulates_outside_the_optimizer_too() -> None:
    loop = Loop()
    for _ in range(5):
        loop.fetch().forward().backward().fetch()
        with loop.inside(Kind.OPTIMIZER, b=1):
            loop.forward().backward()
    timeline = loop.timeline()
    assert steps(timeline) == 5
    assert timeline.micro_batches.tolist() == [2] * 5


def test_a_loop_that_fetches_one_batch_ahead() -> None:
    loop = Loop().begin().fetch()
    for _ in range(8):
        loop.fetch().forward().backward().step()
    loop.exhaust().forward().backward().step()
    timeline = loop.timeline()
    assert steps(timeline) == 9
    assert not len(timeline.evaluation.start_ns)
    assert timeline.evaluation.loaders == {1}
    assert all(seconds(timeline, step, "data_wait") == 0.01 for step in range(1, 8))


def test_a_loop_that_fetches_all_micro_batches_first() -> None:
    loop = Loop().begin()
    for _ in range(8):
        loop.fetch().fetch().fetch().forward().backward().forward().backward().forward().backward().step()
    timeline = loop.timeline()
    assert steps(timeline) == 8
    assert timeline.micro_batches.tolist() == [3] * 8
    assert not len(timeline.evaluation.start_ns)


def test_a_loop_that_fetches_between_forward_and_backward() -> None:
    loop = Loop().begin().fetch()
    for _ in range(8):
        loop.forward().fetch().backward().step()
    timeline = loop.timeline()
    assert steps(timeline) == 8
    assert not len(timeline.evaluation.start_ns)
    assert seconds(timeline, 4, "forward") == 0.02


def test_a_loop_that_fetches_between_the_model_and_its_loss() -> None:
    loop = Loop().begin().fetch()
    for _ in range(12):
        loop.forward(0.02).fetch().forward(0.001, name="Loss").backward().step()
    timeline = loop.timeline()
    assert not len(timeline.evaluation.start_ns)
    assert all(seconds(timeline, step, "forward") == 0.021 for step in range(12))


def test_a_loop_without_loader() -> None:
    loop = Loop()
    for _ in range(10):
        loop.other(0.01).forward().backward().step()
    timeline = loop.timeline()
    assert steps(timeline) == 10
    assert seconds(timeline, 5, "other") == 0.01
    assert not timeline.evaluation.loaders


def test_optimizers_stepped_by_hooks_of_the_backward_pass_end_the_step_with_it() -> None:
    loop = Loop()
    for _ in range(6):
        loop.fetch().forward()
        with loop.inside(Kind.BACKWARD):
            for parameter in range(4):
                loop.other(0.01).step(0.002, optimizer=parameter + 1)
            loop.other(0.003)
    timeline = loop.timeline()
    assert steps(timeline) == 6
    assert timeline.bounds_ns[-1] == loop.now
    assert [seconds(timeline, 3, name) for name in ("backward", "optimizer")] == [0.043, 0.008]


def test_a_step_the_scaler_skipped_is_a_step() -> None:
    loop = Loop()
    for number in range(8):
        loop.fetch().forward().backward()
        with loop.inside(Kind.SCALER, a=int(number == 3), b=1):
            loop.other(0.001)
            if number != 3:
                loop.step(0.005)
        loop.span(Kind.SCALER, 0.0005)
    timeline = loop.timeline()
    assert steps(timeline) == 8
    assert timeline.micro_batches.tolist() == [1] * 8
    # what the scaler does after the optimizer's end, update() included, lies in the next step
    assert [seconds(timeline, step, "optimizer") for step in (3, 4)] == [0.0015, 0.0065]


def test_without_optimizer_the_backward_pass_is_the_step() -> None:
    loop = Loop()
    for _ in range(6):
        loop.fetch().forward().backward().other(0.002)
    timeline = loop.timeline()
    assert steps(timeline) == 6
    assert "backward" in timeline.boundaries.definition


def test_loaders_that_are_zipped_all_train() -> None:
    loop = Loop().begin(1).begin(2)
    for _ in range(6):
        loop.fetch(0.01, loader=1).fetch(0.02, loader=2).forward().backward().step()
    timeline = loop.timeline()
    assert timeline.evaluation.loaders == {1, 2}
    assert seconds(timeline, 3, "data_wait") == 0.03
    assert seconds(timeline, 0, "data_wait") == 0.032


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputation_in_the_backward_pass_is_backward(reentrant: bool) -> None:
    loop = Loop()
    for _ in range(6):
        loop.fetch().forward(0.02)
        with loop.inside(Kind.BACKWARD):
            for _ in range(2):
                loop.forward(0.01)
                if reentrant:
                    loop.backward(0.01)
            loop.forward(0.01)
    timeline = loop.timeline()
    assert steps(timeline) == 6
    assert timeline.micro_batches.tolist() == [1] * 6
    assert seconds(timeline, 2, "forward") == 0.02
    assert seconds(timeline, 2, "backward") == (0.05 if reentrant else 0.03)


def test_what_interrupts_a_phase_is_taken_out_of_it() -> None:
    loop = Loop()
    for _ in range(6):
        loop.fetch()
        with loop.inside(Kind.FORWARD, flags=Flag.TRAINING | Flag.GRAD):
            loop.other(0.01).span(Kind.GC, 0.004, a=2).other(0.01)
        with loop.inside(Kind.BACKWARD):
            loop.other(0.02).span(Kind.COLLECTIVE, 0.007)
        loop.step().span(Kind.LOG, 0.003)
    timeline = loop.timeline()
    assert [seconds(timeline, 3, n) for n in ("forward", "gc", "backward", "communication", "logging")] == [
        0.02,
        0.004,
        0.02,
        0.007,
        0.003,
    ]


def test_our_own_pauses_are_in_no_phase() -> None:
    loop = Loop().plain(20)
    loop.fetch().forward().span(Kind.PAUSE, 0.5).backward().step().plain(20)
    timeline = loop.timeline()
    assert timeline.totals[20, COLUMN["pause"]] == 500_000_000
    assert timeline.step_ns[20] == timeline.step_ns[19]
    assert not timeline.steady.timed[20] and not timeline.steady.timed[21]
    assert timeline.steady.timed[22]
    assert timeline.mean_phases().sum() == pytest.approx(0.065)


def test_a_gap_in_the_record_is_excluded() -> None:
    loop = Loop().plain(20)
    loop.span(Kind.GAP, 30.0, a=450).plain(20)
    timeline = loop.timeline()
    assert steps(timeline) == 40
    assert not timeline.steady.timed[20]
    assert timeline.steady.excluded["not kept in detail"] == 1
    assert timeline.mean_phases().sum() == pytest.approx(0.065)
    assert timeline.step_ns.max() == 65_000_000


def test_stalls_inside_a_gap_do_not_count_as_stalls_of_the_steps_around_it() -> None:
    loop = Loop().plain(20)
    with loop.inside(Kind.GAP, a=1000):
        for _ in range(50):
            loop.other(0.5).span(Kind.SAVE, 0.5)
    loop.plain(10).span(Kind.SAVE, 0.1).plain(10)
    timeline = loop.timeline()
    kept = np.count_nonzero(timeline.detailed)
    assert timeline.mean_phases()[COLUMN["checkpoint"]] == pytest.approx(0.1 / kept)


def test_a_record_cut_off_in_the_middle_of_a_step_ends_with_the_last_whole_one() -> None:
    loop = Loop().plain(10).fetch().forward()
    timeline = loop.timeline()
    assert steps(timeline) == 10
    assert timeline.bounds_ns[-1] == loop.now - 30_000_000


def test_the_first_step_begins_behind_a_pass_over_the_data_that_trained_nothing() -> None:
    loop = Loop().begin()
    for _ in range(5):
        loop.fetch()
    loop.exhaust().other(1.0)
    begun = loop.now
    loop.begin().plain(8)
    assert loop.timeline().bounds_ns[0] == begun


def test_two_loaders_started_before_the_first_step_belong_to_it() -> None:
    loop = Loop().other(1.0)
    begun = loop.now
    loop.begin(1).begin(2).fetch(loader=1).fetch(loader=2).forward().backward().step()
    loop.plain(5)
    assert loop.timeline().bounds_ns[0] == begun


def test_several_threads_only_the_one_that_steps_counts() -> None:
    trainer, beside = Loop(thread=1), Loop(thread=0)
    trainer.plain(10)
    for _ in range(20):
        beside.fetch(0.001, loader=9).infer(0.02)
    trainer.rows += beside.rows
    timeline = trainer.timeline()
    assert timeline.trainer.thread == 1
    assert timeline.evaluation.loaders == {1}
    assert timeline.totals.sum() == 10 * 65_000_000


def test_of_two_spans_with_equal_times_the_one_written_later_is_the_outer_one() -> None:
    loop = Loop()
    for _ in range(5):
        loop.fetch()
        with loop.inside(Kind.OPTIMIZER, b=1):
            loop.forward(0.02)  # on a coarse clock nothing else took any time
        loop.backward()
    timeline = loop.timeline()
    assert seconds(timeline, 2, "forward") == 0.02
    assert seconds(timeline, 2, "optimizer") == 0.0
