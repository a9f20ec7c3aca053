"""Evaluation is found without a mark in the script, and nothing else is taken for it."""

from __future__ import annotations

import pytest
from trainbottleneck.analyze.measure import analyse
from trainbottleneck.analyze.phases import COLUMN
from trainbottleneck.analyze.timeline import Timeline
from trainbottleneck.model.span import Kind

from .records import Loop, run


def evaluated(timeline: Timeline) -> tuple[int, float]:
    """Return how many evaluations there are, and the seconds of them that lie in steps."""
    return len(timeline.evaluation.start_ns), float(timeline.totals[:, COLUMN["evaluation"]].sum()) / 1e9


def rest(timeline: Timeline) -> dict[str, float]:
    """Return the seconds of every other phase, all steps together."""
    return {
        name: float(timeline.totals[:, COLUMN[name]].sum()) / 1e9
        for name in ("data_wait", "forward", "backward", "optimizer")
    }


PLAIN = {"data_wait": 0.01, "forward": 0.02, "backward": 0.03, "optimizer": 0.005}


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_a_validation_loader_evaluates_whatever_mode_the_model_is_in(train: bool, grad: bool) -> None:
    loop = Loop().begin(1, 0.0)
    for _ in range(4):
        loop.plain(10).validate(3, train=train, grad=grad)
    loop.plain(10)
    timeline = loop.timeline()
    count, seconds = evaluated(timeline)
    assert count == 4
    assert seconds == pytest.approx(4 * (0.001 + 3 * 0.010 + 0.0001))
    assert rest(timeline) == pytest.approx({name: 50 * s for name, s in PLAIN.items()})
    assert timeline.evaluation.loaders == {1}


def test_validation_whose_loss_is_a_module_in_training_mode() -> None:
    loop = Loop()
    for _ in range(4):
        loop.plain(10)
        loop.begin(2)
        for _ in range(3):
            loop.fetch(0.004, 2).infer(0.006).forward(0.001, grad=False, name="Loss")
        loop.exhaust(2)
    loop.plain(5)
    count, seconds = evaluated(loop.timeline())
    assert count == 4
    assert seconds == pytest.approx(4 * (0.001 + 3 * 0.011 + 0.0001))


def test_validation_that_breaks_off_before_its_loader_ends() -> None:
    loop = Loop()
    for _ in range(4):
        loop.plain(10).begin(2).fetch(0.004, 2).infer(0.006).fetch(0.004, 2).infer(0.006)
    loop.plain(5)
    count, seconds = evaluated(loop.timeline())
    assert (count, seconds) == (4, pytest.approx(4 * 0.021))


def test_validation_of_a_loop_that_fetches_one_batch_ahead() -> None:
    loop = Loop().begin().fetch()
    for _ in range(4):
        for _ in range(8):
            loop.fetch().forward().backward().step()
        loop.begin(2).fetch(0.004, 2)
        for _ in range(2):
            loop.fetch(0.004, 2).infer(0.006)
        loop.exhaust(2).infer(0.006)
    loop.exhaust().forward().backward().step()
    timeline = loop.timeline()
    count, seconds = evaluated(timeline)
    assert count == 4
    assert seconds == pytest.approx(4 * (0.001 + 3 * 0.010 + 0.0001))
    assert rest(timeline)["forward"] == pytest.approx(33 * 0.02)


def test_validation_of_a_loop_that_fetches_all_micro_batches_first() -> None:
    loop = Loop().begin()
    for number in range(24):
        loop.fetch().fetch().forward().backward().forward().backward().step()
        if number % 8 == 7:
            loop.validate(3)
    loop.fetch().fetch().forward().backward().forward().backward().step()
    timeline = loop.timeline()
    assert evaluated(timeline)[0] == 3
    assert timeline.micro_batches.tolist() == [2] * 25
    assert rest(timeline)["forward"] == pytest.approx(50 * 0.02)


def test_evaluation_at_the_end_of_every_epoch_leaves_the_epochs_alone() -> None:
    loop = Loop()
    for _ in range(3):
        loop.begin(1, 0.5).plain(10).exhaust(1).validate(3)
    loop.begin(1, 0.5).plain(10)
    timeline = loop.timeline()
    assert evaluated(timeline)[0] == 3
    assert rest(timeline)["data_wait"] == pytest.approx(4 * 0.5 + 3 * 0.0001 + 40 * 0.01)


def test_the_training_loader_is_also_evaluated() -> None:
    loop = Loop()
    for _ in range(4):
        loop.begin(1).plain(10).exhaust(1).validate(20, loader=1).validate(3, loader=2)
    loop.begin(1).plain(10)
    timeline = loop.timeline()
    count, seconds = evaluated(timeline)
    assert count == 4
    assert seconds == pytest.approx(4 * (0.002 + 23 * 0.010 + 0.0002))
    assert timeline.evaluation.loaders == {1}
    assert rest(timeline)["forward"] == pytest.approx(50 * 0.02)


def test_batches_of_a_pass_that_evaluates_are_no_training_requests() -> None:
    loop = Loop().tell("loader", number=1, workers=2, batch_size=8)
    for _ in range(4):
        loop.begin(1)
        for number in range(12):
            loop.fetch(ready=2, first=number == 0).forward().backward().step()
        loop.exhaust(1).begin(1)
        for number in range(30):
            loop.fetch(ready=0, first=number == 0).infer(0.006)
        loop.exhaust(1)
    measured = analyse(run(loop.process())).measurements
    assert measured.number("input.starved_frac") == 0.0
    assert measured.number("input.epochs") == 4
    assert measured.number("input.ready_batches") == 2.0


def test_an_endless_training_iterator_serves_evaluations_too() -> None:
    loop = Loop().begin()
    for _ in range(4):
        loop.plain(10)
        for _ in range(3):
            loop.fetch(0.004).infer(0.006)
    loop.plain(5)
    count, seconds = evaluated(loop.timeline())
    assert count == 4
    assert seconds == pytest.approx(4 * (3 * 0.006 + 2 * 0.004))


@pytest.mark.parametrize("order", ["before the step", "after the step"])
@pytest.mark.parametrize("loader", [False, True])
def test_evaluation_without_a_loader_of_its_own(loader: bool, order: str) -> None:
    loop = Loop()
    for number in range(40):
        if loader:
            loop.fetch()
        if order == "before the step" and number % 10 == 5:
            loop.infer(0.006).infer(0.006)
        loop.forward().backward().step()
        if order == "after the step" and number % 10 == 5:
            loop.infer(0.006).infer(0.006)
    timeline = loop.timeline()
    assert evaluated(timeline) == (4, pytest.approx(4 * 0.012))
    assert rest(timeline)["forward"] == pytest.approx(40 * 0.02)


@pytest.mark.parametrize("loader", [False, True])
def test_evaluation_mode_alone_is_enough_where_the_model_also_trains(loader: bool) -> None:
    loop = Loop()
    for number in range(40):
        if loader:
            loop.fetch()
        if number % 10 == 5:
            loop.forward(0.006, train=False).forward(0.001, name="Loss").forward(0.006, train=False)
        loop.forward().forward(0.001, name="Loss").backward().step()
    count, seconds = evaluated(loop.timeline())
    assert (count, seconds) == (4, pytest.approx(4 * 0.013))


@pytest.mark.parametrize("loader", [False, True])
def test_a_teacher_without_gradients_is_part_of_every_step(loader: bool) -> None:
    loop = Loop()
    for _ in range(30):
        if loader:
            loop.fetch()
        loop.infer(0.01, name="Teacher").forward().backward().step()
    timeline = loop.timeline()
    assert evaluated(timeline) == (0, 0.0)
    assert rest(timeline)["forward"] == pytest.approx(30 * 0.03)


def test_a_teacher_that_joins_later_is_part_of_its_steps() -> None:
    loop = Loop()
    for number in range(40):
        if number >= 20:
            loop.infer(0.01, name="Teacher")
        loop.forward().backward().step()
    assert evaluated(loop.timeline()) == (0, 0.0)


def test_a_teacher_and_evaluations_without_loader_are_told_apart() -> None:
    loop = Loop()
    for number in range(40):
        if number % 10 == 9:
            loop.infer(0.006).infer(0.006)
        loop.infer(0.01, name="Teacher").forward().backward().step()
    timeline = loop.timeline()
    assert evaluated(timeline) == (4, pytest.approx(4 * 0.012))
    assert rest(timeline)["forward"] == pytest.approx(40 * 0.03)


def test_a_generator_without_gradients_in_every_other_optimizer_step_is_no_evaluation() -> None:
    loop = Loop()
    for _ in range(20):
        loop.other(0.01).infer(0.01, name="G").forward(name="D").backward().step(optimizer=1)
        loop.forward(name="G").forward(name="D").backward().step(optimizer=2)
    assert evaluated(loop.timeline()) == (0, 0.0)


def test_a_frozen_model_stepped_by_a_closure_is_no_evaluation() -> None:
    loop = Loop()
    for number in range(20):
        with loop.inside(Kind.OPTIMIZER, b=1):
            for _ in range(20 if number % 3 else 12):
                loop.forward(train=False).backward()
    assert evaluated(loop.timeline()) == (0, 0.0)


def test_a_forward_without_gradients_now_and_then_in_training_mode_is_part_of_the_step() -> None:
    loop = Loop()
    for number in range(40):
        loop.fetch()
        if number % 4 == 0:
            loop.forward(0.006, grad=False)
        loop.forward().backward().step()
    assert evaluated(loop.timeline()) == (0, 0.0)


@pytest.mark.parametrize("agent", ["one in training mode", "one that never trains itself"])
def test_rollouts_of_reinforcement_learning_are_no_evaluation(agent: str) -> None:
    loop = Loop()
    mode = {"train": True} if agent == "one in training mode" else {"train": False, "name": "Policy"}
    for number in range(60):
        if number % 20 == 0:
            for _ in range(30):
                loop.forward(0.001, grad=False, **mode)
        loop.forward().backward().step()
    assert evaluated(loop.timeline()) == (0, 0.0)


def test_sanity_validation_before_the_first_step_is_part_of_no_step() -> None:
    loop = Loop().validate(2).other(0.5)
    begun = loop.now
    loop.begin().plain(10)
    timeline = loop.timeline()
    assert timeline.bounds_ns[0] == begun
    assert len(timeline.evaluation.start_ns) == 1
    assert timeline.totals[:, COLUMN["evaluation"]].sum() == 0


def test_a_checkpoint_and_gc_inside_an_evaluation_keep_their_name() -> None:
    loop = Loop().plain(10).begin(2)
    for _ in range(3):
        loop.fetch(0.004, 2).infer(0.006).span(Kind.SAVE, 0.1).span(Kind.GC, 0.01)
    loop.exhaust(2).plain(10)
    totals = loop.timeline().totals.sum(axis=0)
    assert totals[COLUMN["checkpoint"]] == 300_000_000
    assert totals[COLUMN["gc"]] == 30_000_000
    assert totals[COLUMN["evaluation"]] == 1_000_000 + 3 * 10_000_000 + 100_000


def test_time_between_the_batches_of_an_evaluation_belongs_to_it() -> None:
    loop = Loop().plain(10).begin(2)
    for _ in range(3):
        loop.fetch(0.004, 2).infer(0.006).other(0.02).span(Kind.LOG, 0.003)
    loop.exhaust(2).plain(10)
    timeline = loop.timeline()
    assert evaluated(timeline) == (1, pytest.approx(0.001 + 3 * 0.033 + 0.0001))
    assert timeline.totals[:, COLUMN["other"]].sum() == 0


def test_validation_at_the_last_batch_of_an_epoch_and_after_it_are_two() -> None:
    loop = Loop().begin(1).plain(10).validate(3).exhaust(1).validate(3).begin(1).plain(10)
    assert evaluated(loop.timeline())[0] == 2


def test_counts_and_cadence_of_evaluations_are_those_of_the_measured_steps() -> None:
    loop = Loop()
    for _ in range(10):
        loop.plain(10).validate(3)
    loop.plain(10)
    measured = analyse(run(loop.process())).measurements
    assert measured.number("evaluation.count") == 10
    assert measured.number("evaluation.interval_steps") == pytest.approx(10.5)
    assert measured.number("evaluation.each_s") == pytest.approx(0.0311)
