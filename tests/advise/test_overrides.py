"""What carries advice out: names, settings and values that the agent has, worked out on the run at hand."""

from __future__ import annotations

import math

import pytest
from build import measurements
from trainbottleneck import rulebook
from trainbottleneck.advise.engine import advise, changes
from trainbottleneck.advise.mitigation import MitigationRule, parse_mitigation
from trainbottleneck.agent.overrides import MODULES, find
from trainbottleneck.diagnose.scope import open_scope
from trainbottleneck.errors import RuleError
from trainbottleneck.model.finding import Finding
from trainbottleneck.model.overrides import OVERRIDES, SEVERITY, fault, numerics
from trainbottleneck.model.report import FAMILY_OF
from trainbottleneck.model.trial import Change

SHIPPED = rulebook.shipped() / "mitigations"
CARRIED_OUT = [rule for rule in rulebook.load().mitigations.values() if rule.trial.overrides]


def rule_with(overrides: str, possible: str = '"yes"', kind: str = "A", let: str = "{}") -> MitigationRule:
    """Return the shipped advice on pinned memory with other ``overrides``."""
    text = (SHIPPED / "dl_pin_memory.yaml").read_text(encoding="utf-8")
    head, _, rest = text.partition("\ntrial:")
    _, _, tail = rest.partition("\n")
    trial = f"trial: {{possible: {possible}, class: {kind}, how: h, verify: v, overrides: {overrides}}}"
    head = head.replace("\nlet: {}", f"\nlet: {let}")
    return parse_mitigation(f"{head}\n{trial}\n{tail}", "dl_pin_memory.yaml")


def test_the_table_is_what_the_agent_has() -> None:
    assert {name: set(find(name).known) for name in MODULES} == {
        name: set(one.settings) for name, one in OVERRIDES.items()
    }


def test_what_a_trial_can_apply_has_overrides_or_a_reason_to_have_none() -> None:
    possible = {rule.id for rule in rulebook.load().mitigations.values() if rule.trial.possible == "yes"}
    assert possible - {rule.id for rule in CARRIED_OUT} == {
        "activation_checkpointing",  # it frees memory and costs time, which is all a trial would see
        "compile_cache",  # it shortens the second run's warm-up, and trials time the steps after it
        "compile_only_long_runs",  # it shortens warm-up
    }


@pytest.mark.parametrize("rule", CARRIED_OUT, ids=[rule.id for rule in CARRIED_OUT])
def test_advice_promises_no_less_change_of_results_than_its_overrides_make(rule: MitigationRule) -> None:
    levels = (*SEVERITY, "semantics")
    for override, settings in rule.trial.overrides.items():
        made = numerics(Change(mitigation=rule.id, override=override, settings=dict.fromkeys(settings, 1.0)))
        assert levels.index(rule.numerics) >= levels.index(made)


@pytest.mark.parametrize("rule", CARRIED_OUT, ids=[rule.id for rule in CARRIED_OUT])
def test_constant_settings_are_values_that_the_override_takes(rule: MitigationRule) -> None:
    for override, settings in rule.trial.overrides.items():
        constant = {name: one.number(lambda _: None) for name, one in settings.items() if not one.names}
        assert fault(override, {name: value for name, value in constant.items() if value is not None}) is None


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ("{loadr: {pin_memory: 1}}", "trial.overrides: unknown 'loadr'; did you mean 'loader'?"),
        ("{loader: {pin: 1}}", "trial.overrides.loader: unknown 'pin'"),
        (
            "{loader: {pin_memry: 1}}",
            "trial.overrides.loader: unknown 'pin_memry'; did you mean 'pin_memory'?",
        ),
        (
            "{loader: {num_workers: inputs.workers}}",
            "trial.overrides.loader.num_workers: unknown name 'inputs.workers' in 'inputs.workers'; "
            "did you mean 'input.workers'?",
        ),
        (
            "{cadence: {log_every: 10}}",
            "trial.overrides: cadence is a what-if, which proves nothing: leave it out",
        ),
        ("[loader]", "trial.overrides: Expected `object`, got `array`"),
    ],
)
def test_a_wrong_override_is_refused_with_file_field_and_the_nearest_name(overrides: str, says: str) -> None:
    with pytest.raises(RuleError) as caught:
        rule_with(overrides)
    assert str(caught.value) == f"dl_pin_memory.yaml: {says}"


@pytest.mark.parametrize(("possible", "kind"), [('"no"', "A"), ('"yes"', "C")])
def test_what_no_trial_may_apply_has_no_overrides(possible: str, kind: str) -> None:
    with pytest.raises(RuleError, match="trial: what has overrides is possible, and of class A or B"):
        rule_with("{loader: {pin_memory: 1}}", possible, kind)


def test_settings_are_worked_out_on_the_run_at_hand() -> None:
    rule = rule_with("{loader: {num_workers: more}}", let='{more: "2 * input.workers"}')
    scope = open_scope(measurements({"input.workers": 3}), rule.let)
    assert changes(rule, scope) == (
        Change(mitigation="dl_pin_memory", override="loader", settings={"num_workers": 6.0}),
    )


@pytest.mark.parametrize("given", [{}, {"input.workers": -1}, {"input.workers": 0.25}])
def test_one_setting_that_is_unknown_or_impossible_here_leaves_nothing_to_try(
    given: dict[str, float],
) -> None:
    rule = rule_with("{non_blocking: {}, loader: {num_workers: 2 * input.workers}}")
    assert changes(rule, open_scope(measurements(given), rule.let)) == ()


def test_an_offer_carries_its_changes() -> None:
    run = {
        "device.is_cuda": 1,
        "input.pin_memory": 0,
        "step.h2d_frac": 0.2,
        "step.h2d_s": 0.02,
        "step.mean_s": 0.1,
    }
    found = Finding(
        rule="h2d_transfer", bottleneck="h2d_transfer", family=FAMILY_OF["h2d_transfer"], state="fires", title="",
        share=0.2,
    )  # fmt: skip
    (advice,), _ = advise([found], measurements(run), [rule_with("{loader: {pin_memory: 1}}")])
    assert advice.changes == (
        Change(mitigation="dl_pin_memory", override="loader", settings={"pin_memory": 1.0}),
    )


@pytest.mark.parametrize(
    ("override", "settings", "says"),
    [
        ("gcc", {}, "there is no override 'gcc'; did you mean 'gc'?"),
        ("gc", {"frozen": 1.0}, "gc has no setting 'frozen'; did you mean 'freeze'?"),
        ("gc", {"freeze": 2.0}, "gc.freeze has to be 0 or 1, not 2"),
        ("gc", {"threshold": 0.0}, "gc.threshold has to be at least 1, not 0"),
        ("loader", {"num_workers": 1.5}, "loader.num_workers has to be a whole number, not 1.5"),
        ("loader", {"num_workers": math.nan}, "loader.num_workers has to be a number"),
        ("ddp", {"bucket_cap_mb": math.inf}, "ddp.bucket_cap_mb has to be a number"),
        ("ddp", {"bucket_cap_mb": 0.5}, "ddp.bucket_cap_mb has to be a whole number, not 0.5"),
        (
            "allocator",
            {"garbage_collection_threshold": -0.5},
            "allocator.garbage_collection_threshold has to be at least 0, not -0.5",
        ),
        ("loader", {"num_workers": 0.0, "pin_memory": 1.0}, None),
        ("eval_no_grad", {}, None),
    ],
)
def test_values_that_an_override_cannot_have_are_named(
    override: str, settings: dict[str, float], says: str | None
) -> None:
    assert fault(override, settings) == says


@pytest.mark.parametrize(
    ("override", "settings", "made"),
    [
        ("loader", {"num_workers": 4.0}, "identical"),
        ("optimizer", {"fused": 1.0}, "reordered"),
        ("optimizer", {"fused": 0.0}, "identical"),
        ("ddp", {"bucket_cap_mb": 50.0}, "reordered"),
        ("ddp", {"bucket_cap_mb": 50.0, "bf16_hook": 1.0}, "changed"),
        ("channels_last", {}, "reordered"),
        ("float32", {}, "changed"),
    ],
)
def test_a_change_does_to_the_results_the_worst_of_its_settings(
    override: str, settings: dict[str, float], made: str
) -> None:
    assert numerics(Change(mitigation="m", override=override, settings=settings)) == made
