"""The stage that orders experiments, against an agent made of records and a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from analyze.records import Loop
from trainbottleneck.collect.experiments import Ceilings
from trainbottleneck.model.record import ProcessRecord
from trainbottleneck.model.span import Kind
from trainbottleneck.verify.plan import Pace


@dataclass
class Seen:
    """What the watcher looks at; only the pace matters here."""

    pace: Pace
    trainer_pid: int | None = 1
    seen: int = 100
    timed: int = 90
    timed_s: float = 9.0
    step_s: float = 0.05
    largest: str = "data_wait"
    share: float = 0.4
    half_width: float = 0.01
    updates: int = 100
    updates_per_s: float = 20.0


@dataclass
class Agent:
    """Carries out orders at once: a step takes ``base_s``, without a resource what ``without`` says."""

    base_s: float
    without: dict[str, float]
    noise: float = 0.0
    refuses: tuple[str, ...] = ()
    loop: Loop = field(default_factory=Loop)
    orders: list[dict[str, Any]] = field(default_factory=list)
    random: Random = field(default_factory=lambda: Random(5))

    def carry_out(self, order: dict[str, Any]) -> float:
        """Take the blocks of ``order`` and return how many seconds went by."""
        self.orders.append(order)
        began, arm = self.loop.now, order["arm"]
        if arm in self.refuses:
            self.loop.tell("ablated", arm=arm, state="refused", reason="no")
            return 0.0
        for removed in (False, True, True, False) * order["pairs"]:
            step = self.without.get(arm, self.base_s) if removed else self.base_s
            self.loop.other(order["wash"] * step)
            uneven = 1 + self.noise * self.random.uniform(-1, 1)
            with self.loop.inside(Kind.MARK, name=arm, a=int(removed), b=order["block"]):
                self.loop.other(order["block"] * step * uneven)
        self.loop.tell("ablated", arm=arm, state="done", reason="")
        return (self.loop.now - began) / 1e9

    def records(self) -> list[ProcessRecord]:
        """Return what it wrote."""
        return [self.loop.process()]


def conduct(agent: Agent, pace: Pace, budget_s: float = 60.0) -> tuple[Ceilings, float]:
    """Run the stage to its end; return it and the seconds it took."""
    now = [0.0]
    stage = Ceilings(Path("run"), budget_s, lambda text: None, clock=lambda: now[0])
    while (order := stage.order(Seen(pace))) is not None:
        now[0] += agent.carry_out(dict(order))
        assert stage.is_done(agent.records())
    return stage, now[0]


PACE = Pace(step_s=0.05, shares={"input": 0.6, "logging": 0.16, "gc": 0.02}, loads=True)


def test_the_most_suspicious_is_taken_away_first_and_small_ones_not_once_it_is_found() -> None:
    agent = Agent(0.05, {"input": 0.02, "logging": 0.045})
    conduct(agent, PACE)
    arms = [order["arm"] for order in agent.orders]
    assert arms == ["input", "logging", "loader_alone"]


def test_small_ones_are_asked_where_nothing_large_was_found() -> None:
    agent = Agent(0.05, {})
    conduct(agent, PACE)
    assert [order["arm"] for order in agent.orders] == ["input", "logging", "gc"]


def test_an_order_names_all_that_the_agent_needs() -> None:
    agent = Agent(0.05, {"input": 0.02})
    conduct(agent, PACE)
    order = agent.orders[0]
    assert order["arm"] == "input" and order["block"] >= 10 and order["pairs"] >= 1 and order["wash"] >= 2
    assert order["scratch"].endswith("scratch") and 0 < order["budget_s"] <= 60


def test_uneven_blocks_are_asked_for_again_and_even_ones_are_not() -> None:
    even, uneven = Agent(0.05, {"input": 0.02}), Agent(0.05, {"input": 0.02}, noise=0.2)
    conduct(even, PACE)
    conduct(uneven, PACE)
    count = [[order["arm"] for order in agent.orders].count("input") for agent in (even, uneven)]
    assert count[0] == 1 and count[1] > 1


@pytest.mark.parametrize("step_s", [0.001, 0.02, 0.1, 0.3, 0.7, 1.3, 3.0])
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_the_budget_holds_whatever_the_step(step_s: float, noise: float) -> None:
    pace = Pace(
        step_s=step_s, shares=dict.fromkeys(("input", "logging", "gc", "h2d"), 0.2), loads=True, ahead=8
    )
    _, took = conduct(Agent(step_s, {"input": step_s / 2}, noise=noise), pace)
    assert took <= 60.0


def test_the_budget_holds_where_steps_became_slower_than_they_were() -> None:
    pace = Pace(step_s=0.1, shares=dict.fromkeys(("input", "logging", "gc", "transfer"), 0.2), loads=True)
    stage, took = conduct(Agent(0.3, {}, noise=0.3), pace, budget_s=60.0)
    assert took <= 60.0 and stage.failures


def test_what_does_not_fit_is_noted_with_the_reason() -> None:
    pace = Pace(step_s=0.1, shares={"checkpoint": 0.3}, every={"checkpoint": 1000})
    stage, _ = conduct(Agent(0.1, {}), pace)
    assert [failure.collector for failure in stage.failures] == ["ceiling.checkpoint"]
    assert "were left" in stage.failures[0].reason


def test_a_loader_that_cannot_be_replayed_is_slowed_down_where_the_loop_makes_the_batches() -> None:
    agent = Agent(0.05, {}, refuses=("input",))
    conduct(agent, PACE)
    assert [order["arm"] for order in agent.orders][:2] == ["input", "slow:fetch"]
    assert agent.orders[1]["eps_s"] == pytest.approx(0.005)
    workers = Agent(0.05, {}, refuses=("input",))
    conduct(workers, Pace(step_s=0.05, shares=PACE.shares, loads=True, ahead=4))
    assert "slow:fetch" not in [order["arm"] for order in workers.orders]


def test_it_waits_for_every_rank() -> None:
    stage = Ceilings(Path("run"), 60.0, lambda text: None, clock=lambda: 0.0)
    pace = Pace(step_s=0.05, shares={"input": 0.5}, loads=True, ranks=2)
    assert stage.order(Seen(pace)) is not None
    told = Loop().tell("ablated", arm="input", state="done", reason="")
    silent = Loop()
    assert not stage.is_done([told.process(pid=1), silent.process(pid=2)])
    silent.tell("ablated", arm="input", state="refused", reason="")
    assert stage.is_done([told.process(pid=1), silent.process(pid=2)])


def test_an_agent_that_knows_no_experiments_is_not_waited_for() -> None:
    stage = Ceilings(Path("run"), 60.0, lambda text: None, clock=lambda: 0.0)
    assert stage.order(Seen(PACE)) is not None
    old = Loop().tell("failure", collector="orders", reason="unknown order ablate")
    assert stage.is_done([old.process()])


def test_a_training_whose_pace_is_not_known_is_left_alone() -> None:
    stage = Ceilings(Path("run"), 60.0, lambda text: None, clock=lambda: 0.0)
    assert stage.order(Seen(Pace())) is None
