"""Ceilings from the blocks of the experiments, and what the rest of the analysis makes of a run with experiments."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trainbottleneck.analyze.measure import Analysed, analyse
from trainbottleneck.analyze.progress import look
from trainbottleneck.diagnosis import diagnose
from trainbottleneck.model.record import Failure
from trainbottleneck.model.span import Kind
from trainbottleneck.rulebook import load, shipped

from .experiments import experiment, observed
from .records import Loop, run


def waiting(loop: Loop) -> Loop:
    """One step of 100 ms that waits 45 ms for its batch."""
    return loop.fetch(0.045).forward().backward().step()


def fed(loop: Loop) -> Loop:
    """The same without the wait."""
    return loop.fetch(0.0).forward().backward().step()


def quicker(loop: Loop) -> Loop:
    """The same, and the model has the cores for itself."""
    return loop.fetch(0.0).forward(0.005).backward(0.01).step()


def measured(loop: Loop) -> Analysed:
    """Return what is made of the loop's record."""
    return analyse(run(loop.process()))


def test_a_ceiling_is_the_share_that_went_away_with_its_interval() -> None:
    found = measured(experiment(observed(waiting), "input", waiting, fed))
    share = found.measurements["ceiling.input_frac"]
    assert share.value == pytest.approx(0.45, abs=0.01) and share.samples == 4
    assert share.interval is not None and share.interval[0] < 0.45 < share.interval[1]
    assert found.measurements.number("ceiling.input_s") == pytest.approx(0.055, rel=0.02)
    (row,) = found.ceilings
    assert (row.resource, row.state, row.pairs) == ("input", "measured", 4)


def test_what_batches_cost_is_what_went_away_without_them_where_that_is_not_the_wait() -> None:
    as_waited = measured(experiment(observed(waiting), "input", waiting, fed)).measurements
    assert as_waited.number("input.cost_frac") == as_waited.number("input.wait_frac")
    more = measured(experiment(observed(waiting), "input", waiting, quicker)).measurements
    cost, share = more["input.cost_frac"], more["ceiling.input_frac"]
    assert (cost.value, cost.interval) == (share.value, share.interval)
    assert measured(observed(waiting)).measurements.number("input.cost_frac") == pytest.approx(0.45, abs=0.01)


def test_steps_of_the_experiments_are_left_out_of_everything_timed() -> None:
    plain = measured(observed(waiting))
    with_experiments = measured(experiment(observed(waiting), "input", waiting, fed, pairs=5))
    for name in ("step.count", "step.time_s", "step.mean_s", "step.data_wait_frac", "input.wait_frac"):
        assert with_experiments.measurements.number(name) == plain.measurements.number(name), name


def test_the_account_has_a_line_for_the_experiments_and_still_sums_to_the_run() -> None:
    loop = experiment(observed(waiting), "input", waiting, fed)
    report = diagnose(run(loop.process()), load([shipped()]))
    lines = {line.name: line.seconds for line in report.run["account"]}
    assert lines["experiments"] == pytest.approx(40 * 0.1 + 40 * 0.055, rel=0.05)
    assert sum(lines.values()) == pytest.approx(report.run["wall_s"])


def test_an_arm_that_was_refused_or_invalid_gives_its_reason_and_no_figure() -> None:
    loop = experiment(observed(waiting), "input", waiting, fed, state="refused", reason="a stream")
    experiment(loop, "gc", waiting, fed, state="invalid", reason="other shapes")
    found = measured(loop)
    assert {(row.resource, row.state, row.reason) for row in found.ceilings} == {
        ("input", "refused", "a stream"),
        ("gc", "invalid", "other shapes"),
    }
    assert "ceiling.input_frac" not in found.measurements
    assert found.measurements.why_missing("ceiling.input_frac") == "a stream"


def test_blocks_of_an_arm_that_turned_out_invalid_are_not_used() -> None:
    loop = experiment(observed(waiting), "input", waiting, fed)
    loop.tell("ablated", arm="input", state="invalid", reason="the loss became infinite")
    (row,) = measured(loop).ceilings
    assert (row.state, row.share) == ("invalid", None)


def test_a_resource_that_was_not_tried_says_why() -> None:
    record = run(experiment(observed(waiting), "input", waiting, fed).process())
    record = replace(record, failures=(Failure(collector="ceiling.evaluation", reason="too rare"),))
    report = diagnose(record, load([shipped()]))
    assert [(row["resource"], row["reason"]) for row in report.ceilings if row["state"] == "skipped"] == [
        ("evaluation", "too rare")
    ]
    assert all(row.what != "ceiling.evaluation" for row in report.not_evaluated)


def test_a_checkpoint_in_one_block_of_two_is_not_taken_for_the_difference() -> None:
    def saving(loop: Loop) -> Loop:
        saving.count += 1  # type: ignore[attr-defined]
        waiting(loop)
        return loop.span(Kind.SAVE, 0.5) if saving.count % 25 == 0 else loop  # type: ignore[attr-defined]

    saving.count = 0  # type: ignore[attr-defined]

    def without(loop: Loop) -> Loop:
        saving.count += 1  # type: ignore[attr-defined]
        fed(loop)
        return loop.span(Kind.SAVE, 0.5) if saving.count % 25 == 0 else loop  # type: ignore[attr-defined]

    found = measured(experiment(observed(saving, 100), "input", saving, without, block=10, pairs=3))
    share = found.measurements["ceiling.input_frac"]
    assert share.value == pytest.approx(0.045 / 0.12, abs=0.02)
    assert share.interval is not None and share.interval[1] - share.interval[0] < 0.05


def test_the_loader_alone_is_a_time_per_batch() -> None:
    loop = experiment(observed(waiting), "input", waiting, fed)
    with loop.inside(Kind.MARK, name="loader_alone", a=1, b=50):
        loop.other(50 * 0.03)
    loop.tell("ablated", arm="loader_alone", state="done", reason="")
    assert measured(loop).measurements.number("ceiling.loader_batch_s") == pytest.approx(0.03)


def test_batches_made_slower_give_the_most_that_making_them_costs() -> None:
    def slowed(loop: Loop) -> Loop:
        return waiting(loop).other(0.005)  # half of the delay is noticed

    loop = experiment(observed(waiting), "input", waiting, fed, state="refused", reason="a stream")
    experiment(loop, "slow:fetch", waiting, slowed)
    loop.events[-1].data["fingerprint"]["added_s"] = 0.01  # type: ignore[index]
    found = measured(loop)
    bound = found.measurements["bracket.input_frac"]
    assert bound.value == pytest.approx(0.5 * 0.45, rel=0.1)
    assert bound.interval is not None and bound.interval[0] == 0.0
    assert {(row.resource, row.state) for row in found.ceilings} == {
        ("input", "refused"),
        ("input", "bracket"),
    }


def test_a_run_without_experiments_says_so() -> None:
    found = measured(observed(waiting))
    assert found.ceilings == ()
    assert found.measurements.why_missing("ceiling.input_frac") == "no experiments were made in this run"


def test_updates_go_on_counting_during_the_experiments_and_measured_steps_do_not() -> None:
    before = look([observed(waiting).process()], [])
    after = look([experiment(observed(waiting), "input", waiting, fed).process()], [])
    assert after.timed == before.timed and after.updates == before.updates + 80
    assert after.pace.shares["input"] == pytest.approx(0.45, abs=0.01)
    assert after.pace.loads and after.pace.ranks == 1
