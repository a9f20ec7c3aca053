"""Judging: states, shares, order, sentences."""

from __future__ import annotations

import pytest
from build import measurements
from trainbottleneck.diagnose import engine
from trainbottleneck.diagnose.engine import judge
from trainbottleneck.diagnose.rule import BottleneckRule, parse_rule
from trainbottleneck.model.finding import Finding


def rule(name: str, bottleneck: str, share: str, more: str = "") -> BottleneckRule:
    """Return a rule that costs ``share``."""
    head = f'id: {name}\ntitle: T\nbottleneck: {bottleneck}\nsince: "0.1"\n'
    return parse_rule(f"{head}share: {share}\nevidence: [Yes.]\n{more}", f"{name}.yaml")


def one(given: dict[str, float], of: BottleneckRule, **more: object) -> Finding:
    """Return the only finding."""
    (finding,) = judge(measurements(given, **more), [of])  # type: ignore[arg-type]
    return finding


def test_unless_silences() -> None:
    of = rule("a", "gc", "step.gc_frac", "unless: [gc.collections < 1]")
    assert one({"step.gc_frac": 0.5, "gc.collections": 0}, of).state == "silent"
    assert one({"step.gc_frac": 0.5, "gc.collections": 1}, of).state == "fires"
    unknown = one({"step.gc_frac": 0.5}, of)
    assert (unknown.state, unknown.missing) == ("unknown", ("gc.collections",))


def test_what_is_false_silences_whatever_is_unknown_beside_it() -> None:
    of = rule("a", "gc", "step.gc_frac", "when: [gc.collections >= 1, gc.max_s > 1]")
    assert one({"gc.collections": 0}, of).state == "silent"


def test_only_what_keeps_it_unknown_is_missing() -> None:
    of = rule("a", "gc", "step.gc_frac", "when: [gc.collections >= 1 or gc.full_frac > 1, gc.max_s > 1]")
    found = one({"gc.collections": 2}, of)
    assert found.missing == ("gc.max_s", "step.gc_frac")


def test_missing_looks_through_own_names() -> None:
    of = rule("a", "gc", "cost_frac", "let: {cost_frac: step.gc_frac * gc.full_frac}")
    assert one({"step.gc_frac": 1}, of).missing == ("gc.full_frac",)


def test_a_share_is_at_most_the_whole_step() -> None:
    found = one({"step.gc_s": 7}, rule("a", "gc", "step.gc_s"))
    assert (found.share, found.severity) == (1.0, "critical")


def test_a_share_below_noise_is_silent() -> None:
    assert one({"step.gc_frac": 0.0299}, rule("a", "gc", "step.gc_frac")).state == "silent"


def test_a_rule_that_raises_is_an_error_and_the_others_still_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, fine = rule("broken", "gc", "step.gc_frac"), rule("fine", "checkpoint", "step.checkpoint_frac")
    judge_one = engine._judge_one

    def raises(given: object, of: BottleneckRule) -> Finding:
        if of.id == "broken":
            raise ZeroDivisionError("on purpose")
        return judge_one(given, of)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "_judge_one", raises)
    found = judge(measurements(step__gc_frac=0.5, step__checkpoint_frac=0.5), [broken, fine])
    assert [(f.rule, f.state) for f in found] == [("fine", "fires"), ("broken", "error")]
    assert found[1].error == "ZeroDivisionError: on purpose"


def test_findings_come_by_state_then_share() -> None:
    rules = [
        rule("unknown", "h2d_transfer", "step.h2d_frac"),
        rule("silent", "logging", "logging.frac"),
        rule("small", "gc", "step.gc_frac"),
        rule("large", "checkpoint", "step.checkpoint_frac"),
        rule("well", "compute", "compute.frac", "healthy: true"),
    ]
    given = measurements(logging__frac=0.0, step__gc_frac=0.1, step__checkpoint_frac=0.2, compute__frac=0.7)
    assert [f.rule for f in judge(given, rules)] == ["large", "small", "well", "unknown", "silent"]


@pytest.mark.parametrize(
    ("specific", "first"), [(0.3, "storage"), (0.299, "dataloader"), (0.6, "storage"), (0.7, "storage")]
)
def test_a_cause_comes_before_the_whole_it_explains_half_of(specific: float, first: str) -> None:
    rules = [
        rule("dataloader", "dataloader", "input.wait_frac", "generic: true"),
        rule("storage", "storage", "input.blocked_frac"),
        rule("gc", "gc", "step.gc_frac"),
    ]
    given = measurements(input__wait_frac=0.6, input__blocked_frac=specific, step__gc_frac=0.4)
    found = [f.rule for f in judge(given, rules)]
    assert found[0] == first
    assert sorted(found) == ["dataloader", "gc", "storage"]


def test_another_family_does_not_explain_a_generic_finding() -> None:
    rules = [
        rule("dataloader", "dataloader", "input.wait_frac", "generic: true"),
        rule("gc", "gc", "step.gc_frac"),
    ]
    assert judge(measurements(input__wait_frac=0.6, step__gc_frac=0.4), rules)[0].rule == "dataloader"


def test_a_sentence_without_its_value_is_left_out_and_the_first_complete_alternative_is_said() -> None:
    text = (
        'id: a\ntitle: T\nbottleneck: gc\nsince: "1"\nshare: step.gc_frac\nevidence:\n'
        "  - ['At {other.hotspot}.', 'Pauses {step.gc_frac}.']\n"
        "  - 'Up to {gc.max_s}.'\n  - 'Full {gc.full_frac}.'\n"
    )
    parsed = parse_rule(text, "a.yaml")
    assert one({"step.gc_frac": 0.5, "gc.full_frac": 0.25}, parsed).text == "Pauses 50 %. Full 25 %."
    labelled = one({"step.gc_frac": 0.5}, parsed, labels={"other.hotspot": "`f`"})
    assert labelled.text == "At `f`."


def test_evidence_holds_what_was_measured_of_the_inputs_and_of_show() -> None:
    of = rule("a", "gc", "step.gc_frac", "show: [gc.max_s, gc.full_frac, step.gc_frac]")
    found = one({"step.gc_frac": 0.5, "gc.max_s": 0.2}, of)
    assert [(e.id, e.value, e.unit) for e in found.evidence] == [
        ("step.gc_frac", 0.5, "frac"),
        ("gc.max_s", 0.2, "s"),
    ]
    assert found.evidence[0].meaning == "Share of the mean step spent in phase gc"


def test_the_interval_of_a_share_follows_those_of_its_inputs() -> None:
    of = rule("a", "gc", "cost_frac", "let: {cost_frac: step.gc_frac * gc.full_frac}")
    given = {"step.gc_frac": 0.5, "gc.full_frac": 0.8}
    assert one(given, of).share_interval is None
    single = one(given, of, intervals={"step.gc_frac": (0.45, 0.6)})
    assert single.share_interval == pytest.approx((0.36, 0.48))
    both = one(given, of, intervals={"step.gc_frac": (0.45, 0.55), "gc.full_frac": (0.7, 0.9)})
    assert both.share_interval == pytest.approx(
        (0.4 - (0.04**2 + 0.05**2) ** 0.5, 0.4 + (0.04**2 + 0.05**2) ** 0.5)
    )
