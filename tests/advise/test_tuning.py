"""The search for the fastest recipe: what is tried next, what is taken, and when it ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.advise.tuning import AT_ONCE, Confirm, Diagnose, Finish, Step, Try, Tuning, stacked
from trainbottleneck.model.finding import Interval
from trainbottleneck.model.mitigation import Advice
from trainbottleneck.model.trial import Change, State, Trial

ARM_S = 10.0


def advice(name: str, gain: float | None = 1.5, numerics: str = "identical", **settings: float) -> Advice:
    """Return advice that one override carries out."""
    change = Change(mitigation=name, override=name, settings=settings)
    speedup = None if gain is None else Interval(low=gain, likely=gain, high=gain)
    return Advice(
        id=name, title=name, bottleneck="dataloader", kind="system", taxonomy=None, shen=None, currency="time_per_step",
        speedup=speedup, basis="simulation", effort="config", numerics=numerics, risk=(), summary="", snippet="",
        changes=(change,),
    )  # fmt: skip


def trial(name: str, state: State = "PROVED", gain: float = 1.3, late: float | None = None) -> Trial:
    """Return a trial that found ``gain`` within 5 %."""
    found = Interval(low=gain / 1.05, likely=gain, high=gain * 1.05)
    return Trial(mitigations=(name,), changes=(), state=state, speedup=found, break_even_steps=late)


def begun(*offered: Advice, budget_s: float = 1e5, allow: bool = False, steps: float | None = None) -> Tuning:
    """Return a search that has diagnosed the script once."""
    tuning = Tuning(budget_s=budget_s, allow_changes=allow, steps=steps)
    assert tuning.next() == Diagnose(recipe=())
    tuning.diagnosed(offered, "dataloader", ARM_S, 30.0)
    return tuning


def trying(tuning: Tuning) -> Try:
    """Return the next step, which has to be a round."""
    step = tuning.next()
    assert isinstance(step, Try)
    return step


def names(step: Try) -> list[str]:
    """Return what a round tries."""
    return [one.id for one in step.candidates]


def test_the_most_promising_are_tried_first_and_no_more_than_a_few_at_once() -> None:
    offered = [
        advice(name, gain) for name, gain in (("a", 1.1), ("b", None), ("c", 3.0), ("d", 2.0), ("e", 1.2))
    ]
    step = trying(begun(*offered))
    assert names(step) == ["c", "d", "e"] and len(names(step)) == AT_ONCE
    assert step.recipe == () and step.arms[0] == offered[2].changes


def test_of_what_is_proved_the_surest_is_taken_and_the_script_diagnosed_again() -> None:
    tuning = begun(advice("a"), advice("b"), advice("c"))
    tuning.tried(
        trying(tuning), [trial("a", gain=1.2), trial("b", gain=1.6), trial("c", "REFUTED", 9.0)], 100
    )
    assert tuning.next() == Diagnose(recipe=advice("b").changes)


def test_what_was_proved_beside_it_is_tried_again_on_top_of_it() -> None:
    tuning = begun(advice("a"), advice("b"))
    tuning.tried(trying(tuning), [trial("a", gain=1.2), trial("b", gain=1.6)], 100)
    tuning.diagnosed([advice("a")], "optimizer", ARM_S, 30.0)
    step = trying(tuning)
    assert names(step) == ["a"]
    assert step.arms == ((*advice("b").changes, *advice("a").changes),)
    assert step.recipe == advice("b").changes


@pytest.mark.parametrize(
    ("state", "wall", "again"),
    [
        ("REFUTED", "dataloader", False),
        ("REFUTED", "optimizer", True),  # another wall: what was hidden behind the first may count now
        ("UNDECIDED", "optimizer", True),
        ("NOT_APPLIED", "dataloader", True),  # it may fit now: workers that are there can be kept
        ("HARMFUL", "optimizer", False),
        ("FAILED", "optimizer", False),
    ],
)
def test_a_verdict_counts_for_the_wall_it_was_made_at(state: State, wall: str, again: bool) -> None:
    tuning = begun(advice("a"), advice("b"))
    tuning.tried(trying(tuning), [trial("a", state), trial("b")], 100)
    tuning.diagnosed([advice("a")], wall, ARM_S, 30.0)
    step = tuning.next()
    assert isinstance(step, Try) is again
    assert again or isinstance(step, Finish)


def test_with_the_same_recipe_nothing_is_tried_twice() -> None:
    tuning = begun(*(advice(name) for name in "abcd"))
    tuning.tried(trying(tuning), [trial(name, "UNDECIDED") for name in "abc"], 100)
    step = trying(tuning)
    assert names(step) == ["d"]
    tuning.tried(step, [], 100)  # it was not begun
    end = tuning.next()
    assert end == Finish(recipe=(), total=None, taken=(), reason="nothing is left that could be tried")


def test_what_changes_what_is_learned_is_tried_only_when_allowed() -> None:
    offered = advice("a", numerics="semantics")
    assert isinstance(begun(offered).next(), Finish)
    assert names(trying(begun(offered, allow=True))) == ["a"]


def test_two_advices_with_one_effect_are_one_trial() -> None:
    one, other = advice("a", 2.0, n=4), advice("b", 3.0)
    same = Change(mitigation="b", override="a", settings={"n": 4.0})
    step = trying(begun(one, dataclasses.replace(other, changes=(same,))))
    assert names(step) == ["b"]


def test_what_the_recipe_makes_already_is_not_tried() -> None:
    tuning = begun(advice("a", n=4, m=1))
    tuning.tried(trying(tuning), [trial("a")], 100)
    part = dataclasses.replace(
        advice("b"), changes=(Change(mitigation="b", override="a", settings={"n": 4.0}),)
    )
    tuning.diagnosed([advice("a", n=4, m=1), part], "optimizer", ARM_S, 30.0)
    end = tuning.next()
    assert isinstance(end, Finish) and end.recipe == advice("a", n=4, m=1).changes


def test_newer_numbers_of_the_same_advice_take_the_place_of_the_older() -> None:
    tuning = begun(advice("a", n=2))
    tuning.tried(trying(tuning), [trial("a")], 100)
    tuning.diagnosed([advice("a", n=6)], "dataloader", ARM_S, 30.0)
    step = trying(tuning)
    assert step.arms == (advice("a", n=6).changes,) and step.recipe == advice("a", n=2).changes


def test_a_single_change_needs_no_further_trial_against_the_script() -> None:
    tuning = begun(advice("a"))
    tuning.tried(trying(tuning), [trial("a")], 100)
    tuning.diagnosed([], "compute", ARM_S, 30.0)
    assert tuning.next() == Finish(
        recipe=advice("a").changes,
        total=trial("a"),
        taken=(trial("a"),),
        reason="nothing is left that could be tried",
    )


def stack_of_two(budget_s: float = 1e5) -> Tuning:
    """Return a search that has taken b and then a."""
    tuning = begun(advice("a"), advice("b"), budget_s=budget_s)
    tuning.tried(trying(tuning), [trial("a", gain=1.2), trial("b", gain=1.6)], 100)
    tuning.diagnosed([advice("a")], "optimizer", ARM_S, 30.0)
    tuning.tried(trying(tuning), [trial("a", gain=1.1)], 100)
    tuning.diagnosed([], "compute", ARM_S, 30.0)
    return tuning


def test_a_stack_is_proved_as_a_whole() -> None:
    tuning = stack_of_two()
    step = tuning.next()
    both = (*advice("b").changes, *advice("a").changes)
    assert isinstance(step, Confirm) and step.recipe == both
    whole = trial("b+a", gain=1.75)
    tuning.confirmed(whole, 100)
    end = tuning.next()
    reason = "nothing is left that could be tried"
    assert end == Finish(
        recipe=both, total=whole, taken=(trial("b", gain=1.6), trial("a", gain=1.1)), reason=reason
    )


@pytest.mark.parametrize("state", ["UNDECIDED", "REFUTED", "HARMFUL", "FAILED"])
def test_a_stack_that_is_not_proved_as_a_whole_is_not_claimed(state: State) -> None:
    tuning = stack_of_two()
    assert isinstance(tuning.next(), Confirm)
    tuning.confirmed(trial("b+a", state), 100)
    end = tuning.next()
    assert isinstance(end, Finish)
    assert end.reason.endswith("all changes together were not proved, so the first is left")
    assert (end.recipe, end.total) == (advice("b").changes, trial("b", gain=1.6))


def test_stopped_before_the_whole_is_proved_the_first_change_alone_is_claimed() -> None:
    end = stack_of_two().stop()
    assert (end.recipe, end.total) == (advice("b").changes, trial("b", gain=1.6))


@pytest.mark.parametrize(("steps", "taken"), [(None, True), (500.0, False), (2000.0, True)])
def test_what_pays_only_after_the_training_is_not_taken(steps: float | None, taken: bool) -> None:
    tuning = begun(advice("a"), steps=steps)
    tuning.tried(trying(tuning), [trial("a", late=1000.0)], 100)
    assert isinstance(tuning.next(), Diagnose) is taken


def test_a_round_takes_no_more_candidates_than_the_budget_can_judge() -> None:
    # 30 s are spent; a verdict takes 2 pairs of equal runs and 3 of each candidate, at 20 s a pair.
    assert isinstance(begun(*map(advice, "abc"), budget_s=129).next(), Finish)
    assert len(trying(begun(*map(advice, "abc"), budget_s=130)).candidates) == 1
    assert len(trying(begun(*map(advice, "abc"), budget_s=190)).candidates) == 2


def test_a_round_leaves_half_of_the_time_to_those_behind() -> None:
    assert trying(begun(advice("a"), budget_s=2030)).budget_s == 1000
    assert trying(begun(advice("a"), budget_s=180)).budget_s == 100


@pytest.mark.parametrize(("pairs", "seconds", "whole_s"), [(0, 0.0, 80), (5, 200.0, 160)])
def test_time_is_kept_for_the_trial_of_the_whole(pairs: int, seconds: float, whole_s: float) -> None:
    # 3 pairs and one that may be dropped, of 20 s as expected, or of 40 s as the first round took: its first arm is the
    # script as it is, which is slower than what the second round tries.
    for spare_s, kind in ((-1, Finish), (0, Try)):
        tuning = begun(advice("a"), advice("b"), budget_s=30 + 100 + 30 + 100 + whole_s + spare_s)
        first = dataclasses.replace(
            trial("b", gain=1.6), pairs=pairs - 1, dropped={"steal": 1}, seconds=seconds
        )
        tuning.tried(trying(tuning), [first if pairs else trial("b", gain=1.6)], 100)
        tuning.diagnosed([advice("a")], "optimizer", ARM_S, 30.0)
        end = tuning.next()
        assert isinstance(end, kind)
        assert isinstance(end, Try) or end.reason == "the budget has no time for another verdict"


def _carry_out(step: Step, tuning: Tuning, draw: Callable[[st.SearchStrategy[State]], State]) -> None:
    """Tell any outcome of a step."""
    states: st.SearchStrategy[State] = st.sampled_from(
        ("PROVED", "REFUTED", "HARMFUL", "UNDECIDED", "NOT_APPLIED", "FAILED")
    )
    walls: Mapping[int, str] = {0: "dataloader", 1: "optimizer", 2: "compute"}
    if isinstance(step, Diagnose):
        offered = [advice(name, n=len(step.recipe)) for name in "abc"] + [advice(name) for name in "def"]
        tuning.diagnosed(offered, walls[len(step.recipe) % 3], ARM_S, 30.0)
    elif isinstance(step, Try):
        tuning.tried(step, [trial(one.id, draw(states)) for one in step.candidates], 1.5 * ARM_S)
    elif isinstance(step, Confirm):
        tuning.confirmed(trial("all", draw(states)), ARM_S)


@settings(max_examples=40)
@given(data=st.data(), budget_s=st.floats(0, 20_000))
def test_any_search_ends_and_claims_only_what_is_proved_against_the_script(
    data: st.DataObject, budget_s: float
) -> None:
    tuning = Tuning(budget_s=budget_s)
    for _ in range(400):
        step = tuning.next()
        if isinstance(step, Finish):
            break
        _carry_out(step, tuning, data.draw)
    assert isinstance(step, Finish)
    assert bool(step.recipe) is (step.total is not None)
    assert step.total is None or step.total.state == "PROVED"


def test_what_is_stacked_keeps_its_order() -> None:
    first, second, newer = advice("a", n=1).changes, advice("b").changes, advice("a", n=2).changes
    assert stacked(stacked(first, second), newer) == (*second, *newer)
