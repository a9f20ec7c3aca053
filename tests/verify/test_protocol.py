"""A session of trials: what runs next, what counts, when it ends, and that nothing found is lost."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.verify.disturbance import Surroundings
from trainbottleneck.verify.protocol import SETTLING, Outcome, Result, Session, Task

CALM, STOLEN = Surroundings(seconds=5, steal_frac=0.0), Surroundings(seconds=5, steal_frac=0.5)
GAINS = {"double": 0.7, "nothing": 0.0, "slower": -0.5}
Runner = Callable[[Task], Result]


def machine(gains: dict[str, float], noise: float = 0.01, seed: int = 0, pair_s: float = 10.0) -> Runner:
    """Return what runs a pair on a simulated machine; gains are logarithms."""
    draw = random.Random(seed)

    def run(task: Task) -> Result:
        gain = gains[task.candidate] if task.candidate else 0.0
        arm = math.exp(-gain + noise * draw.gauss(0, 1))
        return Result(seconds=pair_s, base_s=1.0, arm_s=arm, base=CALM, arm=CALM)

    return run


def drive(session: Session, run: Runner, most: int = 500) -> list[Task]:
    """Run a session to its end and return its tasks."""
    tasks: list[Task] = []
    while (task := session.next()) is not None:
        session.add(task, run(task))
        tasks.append(task)
        assert len(tasks) < most
    return tasks


def states(session: Session) -> dict[str, str]:
    return {outcome.candidate: outcome.state for outcome in session.outcomes()}


def only(session: Session) -> Outcome:
    (outcome,) = session.outcomes()
    return outcome


def test_each_candidate_gets_its_verdict_and_stops_there() -> None:
    session = Session(list(GAINS), budget_s=10_000, arm_s=5)
    tasks = drive(session, machine(GAINS))
    assert states(session) == {"double": "PROVED", "nothing": "REFUTED", "slower": "HARMFUL"}
    assert len(tasks) == 2 + 3 * 5
    assert session.progress().fraction == 1 and session.progress().done == 3


def test_the_first_two_pairs_are_of_equal_runs_and_all_candidates_share_them() -> None:
    session = Session(list(GAINS), budget_s=10_000, arm_s=5)
    tasks = drive(session, machine(GAINS))
    assert [task.candidate for task in tasks].count(None) == 2
    assert [task.candidate for task in tasks[:2]] == [None, None]
    assert session.noise().pairs == 2


def test_equal_runs_of_an_earlier_session_need_not_be_run_again() -> None:
    session = Session(["double"], budget_s=1000, arm_s=5, equal_pairs=[(1.0, 1.01), (1.0, 0.99)])
    assert all(task.candidate == "double" for task in drive(session, machine(GAINS)))


def test_order_and_padding_are_drawn_and_come_again_with_the_seed() -> None:
    def tasks(seed: int) -> list[Task]:
        return drive(Session(list(GAINS), budget_s=10_000, arm_s=5, seed=seed), machine(GAINS, noise=0.2))

    assert tasks(1) == tasks(1) != tasks(2)
    some = tasks(1)
    assert {task.arm_first for task in some} == {True, False}
    assert len({task.padding for task in some}) == len(some)


def test_in_the_order_given_all_reach_their_first_look_before_any_reaches_its_second() -> None:
    session = Session(["hard", "easy"], budget_s=10_000, arm_s=5)
    names = [task.candidate for task in drive(session, machine({"hard": 0.03, "easy": 0.7}, noise=0.04))][2:]
    assert names[:10] == ["hard"] * 5 + ["easy"] * 5 and set(names[10:]) == {"hard"}


@pytest.mark.parametrize(
    ("result", "state", "reason"),
    [
        (
            Result(seconds=9, refused="the dataset is not sharded"),
            "NOT_APPLIED",
            "the dataset is not sharded",
        ),
        (Result(seconds=9, base_s=1.0, arm_failed="exit code 1"), "FAILED", "exit code 1"),
    ],
)
def test_what_can_not_be_done_ends_with_its_first_pair(result: Result, state: str, reason: str) -> None:
    session = Session(["it"], budget_s=1000, arm_s=5)
    tasks = drive(session, lambda task: result if task.candidate else machine({})(task))
    assert len(tasks) == 3
    assert (only(session).state, only(session).reason, only(session).judged) == (state, reason, None)


def test_a_script_that_fails_by_itself_twice_ends_the_session_and_blames_no_candidate() -> None:
    session = Session(["it"], budget_s=1000, arm_s=5)
    assert len(drive(session, lambda task: Result(seconds=1, base_failed="exit code 3"))) == 2
    assert only(session).state == "UNDECIDED" and "exit code 3" in only(session).reason


def test_a_session_that_ends_with_its_budget_says_what_used_it_up() -> None:
    def stolen_twice(task: Task) -> Result:
        place = STOLEN if task.candidate is None else CALM
        return Result(seconds=10, base_s=1.0, arm_s=1.0, base=place, arm=CALM)

    session = Session(["double"], budget_s=60, arm_s=5)
    drive(session, stolen_twice)
    assert only(session).reason.startswith(
        "the budget had no time for more pairs: 2 did not count, mostly since"
    )
    calm = Session(["double"], budget_s=60, arm_s=5)
    drive(calm, machine({"double": 0.0}, noise=0.1))
    assert only(calm).reason == "the budget had no time for more pairs"


def test_a_disturbed_pair_is_told_and_run_again() -> None:
    run, seen = machine(GAINS), []

    def disturbed_once(task: Task) -> Result:
        seen.append(task)
        result = run(task)
        if len(seen) == 4:
            return Result(seconds=10, base_s=1.0, arm_s=1.0, base=CALM, arm=STOLEN)
        return result

    session = Session(["double"], budget_s=1000, arm_s=5)
    assert len(drive(session, disturbed_once)) == 2 + 5 + 1
    assert only(session).state == "PROVED" and dict(only(session).dropped) == {
        "the hypervisor took CPU time": 1
    }
    assert len(only(session).pairs) == 5


def test_a_machine_that_is_too_noisy_ends_the_session_and_what_was_proved_stands() -> None:
    run = machine(GAINS)

    def noisy_later(task: Task) -> Result:
        if task.candidate == "nothing":
            return Result(seconds=10, base_s=1.0, arm_s=1.0, base=STOLEN, arm=CALM)
        return run(task)

    session = Session(["double", "nothing"], budget_s=10_000, arm_s=5)
    drive(session, noisy_later)
    proved, lost = session.outcomes()
    assert proved.state == "PROVED" and proved.reason == ""
    assert lost.state == "UNDECIDED" and "too noisy" in lost.reason


def test_warm_up_that_was_not_over_is_given_twice_as_long() -> None:
    session = Session(["double"], budget_s=1000, arm_s=5)
    run = machine(GAINS)

    def slow_start(task: Task) -> Result:
        if task.candidate and task.stretch < 4:
            return Result(seconds=10, base_s=1.0, arm_s=0.5, settled=False)
        return run(task)

    tasks = drive(session, slow_start)
    assert [task.stretch for task in tasks[2:]] == [1, 2, 4, 4, 4, 4, 4]
    assert only(session).state == "PROVED" and only(session).dropped[SETTLING] == 2


def test_an_arm_that_never_settles_is_given_up_and_the_next_one_tried() -> None:
    session = Session(["never", "double"], budget_s=1000, arm_s=5)
    run = machine(GAINS)
    drive(session, lambda task: Result(seconds=10) if task.candidate == "never" else run(task))
    assert states(session) == {"never": "UNDECIDED", "double": "PROVED"}
    assert SETTLING in session.outcomes()[0].reason


def series(*gains: float) -> Runner:
    """Return what runs pairs whose arms gain this much, in turn; equal pairs are even."""
    left = list(gains)

    def run(task: Task) -> Result:
        gain = 0.0 if task.candidate is None else left.pop(0)
        return Result(seconds=10.0, base_s=1.0, arm_s=math.exp(-gain), base=CALM, arm=CALM)

    return run


@pytest.mark.parametrize(
    ("gains", "pairs"),
    [
        ((0.70, 0.70, 0.71), 3),  # known within 10 % at the first look
        ((0.60, 0.75, 0.90, 0.75, 0.75), 5),
        ((0.60, 0.75, 0.90, 0.75, -0.9), 5),  # a bad pair at the end
    ],
)
def test_a_proved_gain_is_measured_on_until_it_is_known(gains: tuple[float, ...], pairs: int) -> None:
    session = Session(["one"], budget_s=10_000, arm_s=5, looks=(3, 5, 8, 12, 20))
    drive(session, series(*gains))
    found = only(session)
    assert found.state == "PROVED" and len(found.pairs) == pairs
    assert found.judged is not None and found.judged.speedup is not None
    assert found.judged.speedup.low > 1.01


def test_when_time_is_up_there_is_a_last_look() -> None:
    session = Session(["double"], budget_s=5 * 10, arm_s=5)
    assert len(drive(session, machine(GAINS))) == 5
    assert only(session).state == "PROVED" and len(only(session).pairs) == 3


def test_no_candidate_is_begun_that_could_not_be_looked_at() -> None:
    session = Session(["double", "slower"], budget_s=9 * 10, arm_s=5)
    assert len(drive(session, machine(GAINS))) == 2 + 5
    assert states(session) == {"double": "PROVED", "slower": "UNDECIDED"}
    assert session.outcomes()[1].pairs == () and "budget" in session.outcomes()[1].reason


def test_a_budget_for_equal_runs_alone_runs_nothing() -> None:
    session = Session(["double"], budget_s=40, arm_s=5)
    assert session.next() is None and "budget" in only(session).reason


def test_stopping_loses_nothing_and_takes_no_look() -> None:
    session = Session(["double", "slower"], budget_s=1000, arm_s=5)
    run = machine(GAINS)
    for _ in range(2 + 5 + 3):
        task = session.next()
        assert task
        session.add(task, run(task))
    before = session.outcomes()
    session.stop()
    after = session.outcomes()
    assert [one.pairs for one in after] == [one.pairs for one in before]
    assert states(session) == {"double": "PROVED", "slower": "UNDECIDED"}
    assert after[1].judged and after[1].judged.speedup and after[1].reason == "stopped by the user"
    assert session.next() is None


def test_after_the_last_look_it_is_undecided_and_says_why() -> None:
    session = Session(["hard"], budget_s=10_000, arm_s=5)
    tasks = drive(session, machine({"hard": 0.04}, noise=0.3))
    assert len(tasks) == 2 + 20 and only(session).state == "UNDECIDED" and "last look" in only(session).reason


def test_no_candidate_or_the_same_twice() -> None:
    assert Session([], budget_s=100, arm_s=1).next() is None
    with pytest.raises(ValueError, match="same name"):
        Session(["a", "a"], budget_s=100, arm_s=1)


@settings(max_examples=60)
@given(
    st.integers(1, 4),
    st.floats(1, 2000),
    st.floats(0, 0.3),
    st.integers(0, 1000),
    st.sampled_from(["fine", "stolen", "unsettled", "failed", "base"]),
)
def test_whatever_happens_it_ends_within_its_budget_and_every_candidate_is_told(
    count: int, budget: float, noise: float, seed: int, trouble: str
) -> None:
    names = [f"c{number}" for number in range(count)]
    session = Session(names, budget_s=budget, arm_s=5, seed=seed)
    draw, run = random.Random(seed), machine(dict.fromkeys(names, 0.05), noise, seed)

    def troubled(task: Task) -> Result:
        good = run(task)
        if draw.random() > 0.3:
            return good
        return {
            "fine": good,
            "stolen": Result(seconds=10, base_s=1.0, arm_s=1.0, base=STOLEN, arm=CALM),
            "unsettled": Result(seconds=10, settled=False),
            "failed": Result(seconds=10, base_s=1.0, arm_failed="exit code 1"),
            "base": Result(seconds=10, base_failed="exit code 1"),
        }[trouble]

    last = 0.0
    while (task := session.next()) is not None:
        session.add(task, troubled(task))
        progress = session.progress()
        assert last <= progress.fraction <= 1
        last = progress.fraction
    assert 10 * (session.progress().pairs + session.progress().dropped) <= budget + 1e-9
    for outcome in session.outcomes():
        assert (outcome.reason == "") == (outcome.state in ("PROVED", "REFUTED", "HARMFUL"))
        assert outcome.judged is None or outcome.judged.pairs == len(outcome.pairs)
