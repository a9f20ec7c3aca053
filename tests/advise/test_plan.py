"""What the best advice gains together: simulated, never added."""

from __future__ import annotations

from typing import Any

from build import measurements
from trainbottleneck import rulebook
from trainbottleneck.advise.engine import advise
from trainbottleneck.advise.plan import plan
from trainbottleneck.diagnose.engine import judge
from trainbottleneck.model.finding import Finding
from trainbottleneck.model.measurement import Measurements
from trainbottleneck.model.report import PHASES, Plan
from trainbottleneck.model.workload import Feeding, Lane, Stall, Workload
from trainbottleneck.predict.simulator import Simulator

BOOK = rulebook.load()
LOOP = {"forward": 0.01, "backward": 0.02, "optimizer": 0.002}


def starved(interval: int = 10) -> Measurements:
    """Return a run that waits for one worker (60 ms a batch) and saves for 200 ms every few steps."""
    rows = (tuple(LOOP.get(phase, 0.0) for phase in PHASES),) * 100
    save = Stall(phase="checkpoint", seconds=(0.2,), interval=float(interval))
    options: dict[str, Any] = {
        "lanes": (Lane(steps=rows, making_s=(0.06,) * 100, stalls=(save,)),),
        "feeding": Feeding(workers=1, blocked_frac=0.9),
        "cores": 16.0,
        "count": 100,
    }
    step = Simulator(Workload(step_s=1.0, **options)).step_s()
    saving, loop = 0.2 / interval, sum(LOOP.values())
    phases = {**LOOP, "checkpoint": saving, "data_wait": step - saving - loop}
    given = {f"step.{name}_s": seconds for name, seconds in phases.items()}
    given |= {f"step.{name}_frac": seconds / step for name, seconds in phases.items()}
    return measurements(
        {
            **given, "step.mean_s": step, "step.count": 100, "step.busy_s": loop, "checkpoint.count": 10,
            "checkpoint.each_s": 0.2, "checkpoint.interval_steps": interval, "checkpoint.bytes": 1e6,
            "input.loaders": 1, "input.iterable": 0, "input.workers": 1, "input.batch_s": 0.06,
            "input.batch_cpu_s": 0.006, "input.cpu_frac": 0.1, "input.blocked_frac": 0.9,
            "input.batch_blocked_s": 0.054, "input.wait_frac": phases["data_wait"] / step,
            "input.epoch_gap_frac": 0.0, "host.usable_cores": 16, "compute.cores": 1,
        },
        workload=Workload(step_s=step, **options),
    )  # fmt: skip


def asked(given: Measurements) -> tuple[tuple[Finding, ...], Plan | None]:
    """Return the findings and the plan."""
    findings = judge(given, BOOK.bottlenecks.values())
    return findings, plan(findings, given, BOOK.mitigations.values())


def test_workers_and_rarer_checkpoints_gain_more_together_than_each() -> None:
    given = starved()
    findings, found = asked(given)
    advice, _ = advise(findings, given, BOOK.mitigations.values())
    assert found is not None and {"dl_workers"} < set(found.advice)
    alone = {one.id: one.speedup.likely for one in advice if one.speedup is not None}
    assert found.speedup.likely > 1.3 * max(alone[name] for name in found.advice)
    assert 0.032 <= found.after_s <= 0.036  # the loop's own 32 ms, and what is left of saving
    assert found.next_wall == "compute"


def test_a_plan_takes_one_way_to_the_same_thing_and_keeps_results() -> None:
    _, found = asked(starved())
    assert found is not None
    rules = [BOOK.mitigations[name] for name in found.advice]
    assert sum("checkpoint" in rule.addresses for rule in rules) == 1
    assert sum("dataloader" in rule.addresses for rule in rules) == 1
    assert all(rule.numerics == "identical" for rule in rules)


def test_one_piece_of_advice_is_no_plan() -> None:
    _, found = asked(starved(interval=10_000))
    assert found is None


def test_what_can_not_be_simulated_is_no_plan() -> None:
    plain = measurements({name: one.value for name, one in starved().items() if name != "input.batch_cpu_s"})
    assert asked(plain)[1] is None
