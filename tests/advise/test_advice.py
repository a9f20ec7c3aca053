"""Advice: what is offered, what is rejected and why, prices, order."""

from __future__ import annotations

import msgspec
import pytest
from build import measurements
from trainbottleneck.advise.engine import advise
from trainbottleneck.advise.mitigation import EstimateSpec, MitigationRule, parse_mitigation
from trainbottleneck.advise.ranking import EFFORT, RESULTS
from trainbottleneck.errors import RuleError
from trainbottleneck.model.finding import Finding
from trainbottleneck.model.report import FAMILY_OF

FILE = """\
id: {id}
title: "{title}"
kind: {kind}
taxonomy: {taxonomy}
addresses: [{addresses}]
worsens: [{worsens}]
currency: {currency}
effect: {{time_per_iteration: down, iterations: none, memory: none, cost: down}}
effort: {effort}
numerics: {numerics}
quality_risk: {quality}
let: {{times: "ceil(checkpoint.each_s * 10)"}}
applies: [{applies}]
summary: Saves {{checkpoint.count}} files.
snippet: |
  d = {{"every": <<times>>}}
risks: [It may fail.]
expected: {{scope: step, range: {range}, basis: {basis}}}
evidence:
  - {{claim: twice as fast, source: A, basis: found}}
  - {{claim: ten times as fast, source: B, basis: memory}}
estimate: {{model: {model}, with: {{{arguments}}}}}
trial: {{possible: "no", class: A, how: x, verify: y}}
sources: [S]
"""
PATH = (
    "{component: data, subcomponent: training data, action: remove, timing: static, "
    "information: domain-knowledge}"
)
DEFAULTS = {
    "id": "m",
    "title": "Save {times} times as seldom",
    "kind": "system",
    "taxonomy": "null",
    "addresses": "checkpoint",
    "worsens": "",
    "currency": "time_per_step",
    "effort": "config",
    "numerics": "identical",
    "quality": "none",
    "applies": "",
    "range": "null",
    "basis": "none",
    "model": "remove",
    "arguments": "seconds: step.checkpoint_s",
}
GIVEN = {
    "step.mean_s": 0.1,
    "step.checkpoint_s": 0.04,
    "checkpoint.each_s": 0.2,
    "checkpoint.count": 3,
    "step.forward_s": 0.05,
}


def mitigation(**changes: str) -> MitigationRule:
    """Return a mitigation that differs from the default one in ``changes``."""
    return parse_mitigation(FILE.format(**{**DEFAULTS, **changes}), f"{changes.get('id', 'm')}.yaml")


def fires(bottleneck: str, share: float, healthy: bool = False) -> Finding:
    """Return a firing finding."""
    return Finding(
        rule=bottleneck, bottleneck=bottleneck, family=FAMILY_OF[bottleneck], state="fires", title="T",
        share=share, healthy=healthy,
    )  # fmt: skip


CHECKPOINT = fires("checkpoint", 0.4)


def test_an_offer_carries_the_numbers_of_this_run() -> None:
    (advice,), rejected = advise([CHECKPOINT], measurements(GIVEN), [mitigation()])
    assert rejected == ()
    assert advice.title == "Save 2 times as seldom"
    assert advice.snippet == 'd = {"every": 2}\n'
    assert advice.summary == "Saves 3 files."
    assert advice.speedup is not None
    assert advice.speedup.likely == pytest.approx(1 / 0.6)
    assert (advice.basis, advice.next_wall, advice.bottleneck) == ("phase", "compute", "checkpoint")


def test_nothing_is_offered_for_what_does_not_fire() -> None:
    silent = Finding(rule="checkpoint", bottleneck="checkpoint", family="stall", state="silent", title="T")
    assert advise([silent, fires("gc", 0.5)], measurements(GIVEN), [mitigation()]) == ((), ())


def test_what_does_not_apply_is_rejected_with_its_reason() -> None:
    rule = mitigation(applies="{test: checkpoint.count > 3, otherwise: there are three only}")
    advice, (rejected,) = advise([CHECKPOINT], measurements(GIVEN), [rule])
    assert advice == ()
    assert (rejected.id, rejected.bottleneck) == ("m", "checkpoint")
    assert rejected.reason == "there are three only"


def test_what_could_not_be_checked_is_offered_with_the_risk_named() -> None:
    rule = mitigation(applies="{test: checkpoint.bytes > 3, otherwise: it is small}", quality="may differ")
    (advice,), _ = advise([CHECKPOINT], measurements(GIVEN), [rule])
    assert advice.risk == (
        "Not checked, because checkpoint.bytes is unknown here: whether it is small.",
        "It may fail.",
        "Risk to quality: may differ.",
    )


def test_a_false_condition_outweighs_an_unknown_one() -> None:
    tests = "{test: checkpoint.bytes > 3, otherwise: a}, {test: checkpoint.count > 3, otherwise: b}"
    _, (rejected,) = advise([CHECKPOINT], measurements(GIVEN), [mitigation(applies=tests)])
    assert rejected.reason == "b"


@pytest.mark.parametrize(("share", "offered"), [(0.39, True), (0.4, False), (0.6, False)])
def test_what_makes_another_wall_as_high_worse_is_not_offered(share: float, offered: bool) -> None:
    found = sorted([CHECKPOINT, fires("host_memory", share)], key=lambda one: -(one.share or 0))
    advice, rejected = advise(found, measurements(GIVEN), [mitigation(worsens="host_memory")])
    assert bool(advice) is offered
    assert [one.reason for one in rejected] == (
        [] if offered else ["it makes host_memory worse, which costs as much"]
    )


def test_a_gain_below_one_per_cent_is_rejected() -> None:
    rule = mitigation(arguments="seconds: 0.0009")
    advice, (rejected,) = advise([CHECKPOINT], measurements(GIVEN), [rule])
    assert advice == ()
    assert "less than 1 %" in rejected.reason


def test_no_price_beats_taking_the_bottleneck_away() -> None:
    (advice,), _ = advise([fires("checkpoint", 0.2)], measurements(GIVEN), [mitigation()])
    assert advice.speedup is not None
    assert advice.speedup.high == pytest.approx(1.25)


def test_the_bound_is_the_largest_finding_that_is_addressed() -> None:
    found = [fires("storage", 0.2), fires("checkpoint", 0.4)]
    (advice,), _ = advise(found, measurements(GIVEN), [mitigation(addresses="checkpoint, storage")])
    assert advice.bottleneck == "storage"
    assert advice.speedup is not None
    assert advice.speedup.likely == pytest.approx(1 / 0.6)


def test_gains_rank_unknown_last_and_fewer_steps_after_shorter_steps() -> None:
    rules = [
        mitigation(id="unknown", model="none", arguments=""),
        mitigation(id="small", arguments="seconds: 0.01"),
        mitigation(id="large"),
        mitigation(
            id="fewer",
            currency="number_of_steps",
            model="literature",
            arguments="",
            range="[3, 3]",
            basis="evidence",
        ),
    ]
    advice, _ = advise([CHECKPOINT], measurements(GIVEN), rules)
    assert [one.id for one in advice] == ["large", "small", "unknown", "fewer"]
    assert advice[3].basis == "literature"


def test_what_may_not_apply_comes_after_what_does_whatever_it_gains() -> None:
    doubt = "{test: checkpoint.bytes > 3, otherwise: it is small}"
    rules = [
        mitigation(id="doubtful", applies=doubt),
        mitigation(id="sure", arguments="seconds: 0.01"),
        mitigation(id="unpriced", model="none", arguments=""),
    ]
    advice, _ = advise([CHECKPOINT], measurements(GIVEN), rules)
    assert [one.id for one in advice] == ["sure", "doubtful", "unpriced"]


EVERY = [(results, effort) for results in RESULTS for effort in EFFORT]


def test_at_equal_gain_what_keeps_the_results_comes_first_then_the_smaller_effort() -> None:
    rules = [
        mitigation(id=f"m{i:02}", numerics=results, effort=effort)  # ids against the order that is wanted
        for i, (results, effort) in enumerate(reversed(EVERY))
    ]
    kept, given_up = EVERY[:-1], EVERY[-1:]
    assert given_up == [("semantics", "large")]
    advice, _ = advise([CHECKPOINT], measurements(GIVEN), rules)
    assert [(one.numerics, one.effort) for one in advice] == [*kept, *given_up]
    unpriced = [msgspec.structs.replace(one, estimate=EstimateSpec(model="none")) for one in rules]
    advice, _ = advise([CHECKPOINT], measurements(GIVEN), unpriced)
    assert [(one.numerics, one.effort) for one in advice] == EVERY


def test_a_change_of_results_comes_first_only_where_it_saves_far_more() -> None:
    rules = [
        mitigation(id="a", numerics="semantics", arguments="seconds: 0.04"),
        mitigation(id="b", numerics="identical", arguments="seconds: 0.011"),
        mitigation(id="c", numerics="identical", arguments="seconds: 0.009"),
    ]
    advice, _ = advise([CHECKPOINT], measurements(GIVEN), rules)
    assert [one.id for one in advice] == ["b", "a", "c"]


def test_a_project_that_changes_what_is_learned_comes_after_everything_with_a_figure() -> None:
    rules = [
        mitigation(id="project", numerics="semantics", effort="large"),
        mitigation(id="small", arguments="seconds: 0.0015"),
        mitigation(id="unpriced", model="none", arguments=""),
    ]
    advice, _ = advise([CHECKPOINT], measurements(GIVEN), rules)
    assert [one.id for one in advice] == ["small", "project", "unpriced"]


def test_what_repairs_comes_before_what_does_less_work() -> None:
    rules = [
        mitigation(
            id="less", addresses="compute", kind="algorithmic", taxonomy=PATH, arguments="seconds: 0.09"
        ),
        mitigation(id="repair", arguments="seconds: 0.01"),
        mitigation(id="unpriced", model="none", arguments=""),
    ]
    advice, _ = advise([CHECKPOINT, fires("compute", 0.9, healthy=True)], measurements(GIVEN), rules)
    assert [one.id for one in advice] == ["repair", "unpriced", "less"]


@pytest.mark.parametrize("bottleneck", ["memory_capacity", "host_memory"])
def test_what_frees_memory_is_not_priced_by_time(bottleneck: str) -> None:
    (advice,), rejected = advise(
        [fires(bottleneck, 0.5)],
        measurements(GIVEN),
        [mitigation(addresses=bottleneck, arguments="seconds: 0")],
    )
    assert (advice.speedup, advice.basis, rejected) == (None, "unknown", ())


def test_a_healthy_run_is_offered_only_less_work() -> None:
    rules = [
        mitigation(id="system", addresses="compute", model="none", arguments=""),
        mitigation(
            id="less", addresses="compute", kind="algorithmic", taxonomy=PATH, model="none", arguments=""
        ),
    ]
    (advice,), rejected = advise([fires("compute", 0.9, healthy=True)], measurements(GIVEN), rules)
    assert advice.id == "less"
    assert rejected == ()
    assert advice.taxonomy == {
        "component": "data",
        "subcomponent": "training data",
        "action": "remove",
        "mechanism": "static, domain-knowledge",
    }


def test_what_is_only_recalled_is_never_shown() -> None:
    rule = mitigation(range="[2, 3]", basis="memory", model="none", arguments="")
    (advice,), _ = advise([CHECKPOINT], measurements(GIVEN), [rule])
    assert advice.speedup is None
    assert [claim for claim, _, _ in advice.evidence] == ["twice as fast"]


def test_a_loader_estimate_says_nothing_of_other_families() -> None:
    rule = mitigation(model="loader", arguments="workers: 2")
    (advice,), _ = advise([CHECKPOINT], measurements(GIVEN), [rule])
    assert (advice.speedup, advice.basis) == (None, "unknown")


def test_numbers_that_are_missing_leave_a_blank() -> None:
    given = {name: value for name, value in GIVEN.items() if name != "checkpoint.each_s"}
    (advice,), _ = advise([CHECKPOINT], measurements(given), [mitigation()])
    assert advice.title == "Save ... times as seldom"
    assert advice.snippet == 'd = {"every": ...}\n'


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"addresses": "checkpont"}, "addresses: unknown 'checkpont'; did you mean 'checkpoint'?"),
        ({"worsens": "gcc"}, "worsens: unknown 'gcc'; did you mean 'gc'?"),
        ({"title": "{time}"}, "title: unknown name 'time'; did you mean 'times'?"),
        ({"applies": "{test: checkpoint.cont > 1, otherwise: a}"}, "did you mean 'checkpoint.count'?"),
        ({"applies": "{test: 1 > 0}"}, "missing required field `otherwise`"),
        ({"model": "remov"}, "estimate.model: unknown 'remov'; did you mean 'remove'?"),
        ({"arguments": "second: 1"}, "estimate.with: unknown 'second'; did you mean 'seconds'?"),
        ({"model": "amortise"}, "estimate.with: amortise needs 'interval'"),
        (
            {"arguments": "seconds: step.chekpoint_s"},
            "estimate.with.seconds: unknown name 'step.chekpoint_s'",
        ),
        ({"model": "literature", "arguments": "", "range": "[1, 2]", "basis": "memory"}, "literature needs"),
        ({"range": "[1, 2]"}, "basis none has no range"),
        ({"range": "[2, 1]", "basis": "evidence"}, "0 < low <= high"),
        ({"kind": "algorithmic"}, "needs its place"),
        ({"effort": "tiny"}, "effort: Invalid enum value 'tiny'"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(changes: dict[str, str], says: str) -> None:
    with pytest.raises(RuleError) as error:
        mitigation(**changes)
    assert str(error.value).startswith("m.yaml: ")
    assert says in str(error.value)
