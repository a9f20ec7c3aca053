"""The verdict: state, ceiling, confidence, headline."""

from __future__ import annotations

import pytest
from build import measurements
from trainbottleneck import rulebook
from trainbottleneck.advise.confidence import confidence
from trainbottleneck.advise.engine import advise
from trainbottleneck.advise.verdict import conclude, first_sentence
from trainbottleneck.diagnose.engine import judge
from trainbottleneck.model.finding import Finding, Interval
from trainbottleneck.model.mitigation import Advice
from trainbottleneck.model.report import FAMILY_OF

STEPS = {"step.count": 200, "step.mean_s": 0.083}


def fires(bottleneck: str, share: float, **more: object) -> Finding:
    """Return a firing finding."""
    return Finding(
        rule=bottleneck,
        bottleneck=bottleneck,
        family=FAMILY_OF[bottleneck],
        state="fires",
        title=f"Title of {bottleneck}",
        share=share,
        text=f"It costs a lot in `a.b` (1.5 s). More of {bottleneck}.",
        **more,  # type: ignore[arg-type]
    )


def unknown(rule: str) -> Finding:
    """Return a finding that could not be made."""
    return Finding(
        rule=rule, bottleneck=rule, family=FAMILY_OF[rule], state="unknown", title="T", missing=("x",)
    )


@pytest.mark.parametrize(("share", "state"), [(0.1, "bottleneck"), (0.0999, "healthy")])
def test_a_tenth_of_the_step_makes_a_bottleneck(share: float, state: str) -> None:
    verdict = conclude([fires("gc", share)], measurements(STEPS), [])
    assert verdict.state == state
    assert verdict.bottleneck == ("gc" if state == "bottleneck" else None)
    assert verdict.result == "OK"


@pytest.mark.parametrize(
    ("low", "raw", "basis", "state"),
    [
        (0.09, 0.05, "ceiling", "healthy"),
        (0.10, 0.05, "ceiling", "bottleneck"),  # blocks without it leave no doubt
        (0.09, 0.10, "ceiling", "bottleneck"),  # the phases say the same
        (0.09, 0.05, "bracket", "bottleneck"),
    ],
)
def test_what_only_noise_may_have_lifted_over_the_limit_is_no_bottleneck(
    low: float, raw: float, basis: str, state: str
) -> None:
    found = fires("dataloader", 0.127, share_interval=(low, 0.163), share_basis=basis, raw_share=raw)
    verdict = conclude([found, fires("compute", 0.6, healthy=True)], measurements(STEPS), [])
    assert verdict.state == state
    assert ("Not to be told from noise: title of dataloader, 9 % to 16 %." in verdict.headline) == (
        state == "healthy"
    )


@pytest.mark.parametrize(
    ("interval", "state"),
    [((0.0, 0.22), "healthy"), ((0.0, 0.6), "bottleneck"), ((0.01, 0.22), "bottleneck")],
)
def test_waiting_beyond_what_the_blocks_allow_is_no_witness(
    interval: tuple[float, float], state: str
) -> None:
    found = fires("dataloader", 0.12, share_interval=interval, share_basis="ceiling", raw_share=0.5)
    assert conclude([found], measurements(STEPS), []).state == state


def test_other_experiments_hand_out_nothing_again_and_are_believed() -> None:
    found = fires("checkpoint", 0.16, share_interval=(0.09, 0.2), share_basis="ceiling", raw_share=0.09)
    assert conclude([found], measurements(STEPS), []).bottleneck == "checkpoint"


def test_one_that_noise_may_have_lifted_does_not_hide_another() -> None:
    doubtful = fires("dataloader", 0.127, share_interval=(0.09, 0.163), share_basis="ceiling", raw_share=0.05)
    verdict = conclude([doubtful, fires("logging", 0.11)], measurements(STEPS), [])
    assert (verdict.state, verdict.bottleneck) == ("bottleneck", "logging")


def test_memory_that_limits_without_waste_is_a_wanted_limit_too() -> None:
    verdict = conclude([fires("memory_bandwidth", 0.7, healthy=True)], measurements(STEPS), [])
    assert (verdict.state, verdict.bottleneck) == ("healthy", "memory_bandwidth")


def test_the_arithmetic_is_the_wanted_limit() -> None:
    verdict = conclude([fires("gc", 0.05), fires("compute", 0.9, healthy=True)], measurements(STEPS), [])
    assert (verdict.state, verdict.bottleneck, verdict.family) == ("healthy", "compute", "device")
    assert "only doing less work" in verdict.headline
    assert "title of gc, 5 %" in verdict.headline
    assert verdict.ceiling_speedup is None


def test_nothing_that_stands_out_is_said() -> None:
    verdict = conclude([], measurements(STEPS), [])
    assert (verdict.state, verdict.bottleneck, verdict.share) == ("healthy", None, None)
    assert verdict.headline.startswith("Nothing stands out")


@pytest.mark.parametrize(
    ("far", "maths", "told"), [(0.45, 0.3, True), (0.45, 0.46, False), (0.09, 0.0, False), (None, 0.0, False)]
)
def test_operators_that_reach_no_roof_are_told_where_they_take_most(
    far: float | None, maths: float, told: bool
) -> None:
    device = {"device.unplaced_frac": far, "device.maths_frac": maths}
    given = {name: value for name, value in device.items() if value is not None}
    largest = {"device.largest": "`index_add` at net.py:7 (41 %)"}
    verdict = conclude([fires("gc", 0.05)], measurements({**STEPS, **given}, labels=largest), [])
    assert ("45 % goes into operators that are far" in verdict.headline) is told
    assert ("`index_add` at net.py:7 (41 %)" in verdict.headline) is told
    assert verdict.state == "healthy" and "title of gc" in verdict.headline


@pytest.mark.parametrize("findings", [[], [fires("compute", 0.9, healthy=True)]])
def test_what_the_compiler_gave_up_on_is_told_where_all_else_is_well(findings: list[Finding]) -> None:
    told = measurements(STEPS, labels={"compile.uncompiled": "`forward` in train.py:12"})
    sentence = "The compiler gave up on `forward` in train.py:12"
    assert sentence in conclude(findings, told, []).headline
    assert sentence not in conclude(findings, measurements(STEPS), []).headline


@pytest.mark.parametrize(("other", "state"), [(0.3, "insufficient"), (0.299, "healthy")])
def test_a_step_outside_every_phase_is_not_called_healthy(other: float, state: str) -> None:
    given = measurements({**STEPS, "step.other_frac": other}, labels={"other.hotspot": "`roll` in `rl.py:8`"})
    verdict = conclude([], given, [])
    assert verdict.state == state
    if state == "insufficient":
        assert verdict.result == "UNEXPLAINED_TIME"
        assert "`roll` in `rl.py:8`" in verdict.headline


@pytest.mark.parametrize("result", ["NO_TORCH", "NO_STEPS", "TOO_FEW_STEPS", "FAILED", "SOMETHING_NEW"])
def test_a_named_result_is_insufficient_whatever_fires(result: str) -> None:
    verdict = conclude([fires("gc", 0.5)], measurements(STEPS), [], result)
    assert (verdict.state, verdict.result, verdict.bottleneck) == ("insufficient", result, None)
    assert verdict.headline.endswith(".")


def test_the_ceiling_is_the_step_without_the_share_over_its_interval() -> None:
    ceiling = conclude([fires("gc", 0.5, share_interval=(0.4, 0.6))], measurements(STEPS), []).ceiling_speedup
    assert ceiling is not None
    assert (ceiling.low, ceiling.likely, ceiling.high) == pytest.approx((1 / 0.6, 2, 2.5))


def test_a_share_of_everything_has_a_finite_ceiling() -> None:
    ceiling = conclude([fires("gc", 1.0)], measurements(STEPS), []).ceiling_speedup
    assert ceiling is not None
    assert ceiling.high == pytest.approx(100)


@pytest.mark.parametrize(
    ("given", "findings", "level", "says"),
    [
        ({}, [fires("gc", 0.4)], "high", None),
        ({"step.count": 29}, [fires("gc", 0.4)], "medium", "Only 29 steps"),
        ({"step.count": 30}, [fires("gc", 0.4)], "high", None),
        ({}, [fires("gc", 0.4, share_interval=(0.3, 0.45))], "medium", "between 30 % and 45 %"),
        ({}, [fires("gc", 0.4, share_interval=(0.36, 0.45))], "high", None),
        ({"step.drift_frac": 0.1}, [fires("gc", 0.4)], "medium", "10 % slower"),
        ({"step.drift_frac": -0.2}, [fires("gc", 0.4)], "medium", "20 % faster"),
        ({}, [fires("gc", 0.4), unknown("storage")], "medium", "storage"),
        ({}, [fires("gc", 0.6), unknown("storage")], "high", None),
        ({"step.count": 5}, [unknown("gc"), unknown("storage")], "low", "gc, storage"),
    ],
)
def test_confidence_names_what_limits_it(
    given: dict[str, float], findings: list[Finding], level: str, says: str | None
) -> None:
    verdict = conclude(findings, measurements({**STEPS, **given}), [])
    assert verdict.confidence == level
    assert (verdict.reasons == ()) is (says is None)
    assert says is None or says in " ".join(verdict.reasons)


def test_steps_of_unknown_number_lower_the_confidence() -> None:
    assert conclude([], measurements(), []).confidence == "medium"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One. Two.", "One."),
        ("At `data.py:41` 1.5 s. `f` is next.", "At `data.py:41` 1.5 s."),
        ("e.g. this. 3 more.", "e.g. this."),
        ("", ""),
    ],
)
def test_the_first_sentence_ends_at_a_full_stop_before_a_new_one(text: str, first: str) -> None:
    assert first_sentence(text) == first


def offer(name: str, likely: float | None, effort: str = "config", **more: str) -> Advice:
    """Return a piece of advice against gc."""
    values = {
        "numerics": "identical",
        "currency": "time_per_step",
        "basis": "phase",
        "bottleneck": "gc",
        **more,
    }
    gain = None if likely is None else Interval(low=likely, likely=likely, high=likely)
    return Advice(
        id=name,
        title=name,
        kind="system",
        taxonomy=None,
        shen=None,
        speedup=gain,
        effort=effort,
        risk=(),
        summary="",
        snippet="",
        **values,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("offers", "says"),
    [
        (
            [offer("First", 1.6), offer("Second", 2.0, "large")],
            "First. A step would then take about 52 ms instead of 83 ms.",
        ),
        ([offer("Other", 3.0, bottleneck="storage"), offer("Own", 1.5)], "Own. A step"),
        (
            [offer("Paper", 2.0, basis="literature")],
            "Paper. A step could then take, by published gains, 42 ms",
        ),
        ([offer("Unpriced", None)], "First thing to try: Unpriced."),
        ([offer("Fewer", 2.0, currency="number_of_steps")], "(1.5 s)."),
        ([], "(1.5 s)."),
    ],
)
def test_the_headline_names_the_first_advice_against_what_it_speaks_of(
    offers: list[Advice], says: str
) -> None:
    headline = conclude([fires("gc", 0.5)], measurements(STEPS), offers).headline
    assert headline.startswith("It costs a lot in `a.b` (1.5 s).")
    assert says in headline
    assert headline.endswith(says) or "A step" in says


def test_the_whole_line_reads_for_somebody_who_never_profiled() -> None:
    given = measurements(
        {
            **STEPS,
            "step.data_wait_s": 0.059,
            "step.data_wait_frac": 0.71,
            "step.busy_s": 0.024,
            "step.forward_s": 0.008,
            "step.backward_s": 0.014,
            "input.loaders": 1,
            "input.wait_frac": 0.71,
            "input.cost_frac": 0.71,
            "input.sampler_frac": 0.0,
            "input.sampler_s": 0.0,
            "input.epoch_gap_frac": 0.0,
            "input.iterable": 0,
            "input.workers": 0,
            "input.batch_s": 0.059,
            "input.batch_cpu_s": 0.059,
            "input.batch_blocked_s": 0.0,
            "input.batch_cv_frac": 0.1,
            "input.cpu_frac": 1.0,
            "input.blocked_frac": 0.0,
            "host.usable_cores": 8,
            "compute.cores": 1,
        },
        labels={
            "input.hotspot": "`RandomRotation` in `data.py:41`",
            "input.hotspot_cost": "38 ms per sample on one core",
        },
    )
    book = rulebook.load()
    findings = judge(given, book.bottlenecks.values())
    advice, _ = advise(findings, given, book.mitigations.values())
    verdict = conclude(findings, given, advice)
    assert (verdict.bottleneck, verdict.state, verdict.share) == ("cpu_preprocessing", "bottleneck", 0.71)
    assert verdict.headline == (
        "Training waits for data 71 % of the time: `RandomRotation` in `data.py:41` costs 38 ms per sample on one"
        " core. Load in worker processes: num_workers=3. A step would then take about 24 ms instead of 83 ms."
    )


def test_a_crowded_machine_lowers_the_confidence() -> None:
    quiet = measurements({"step.count": 100, "host.usable_cores": 2, "host.foreign_cores": 0.1})
    crowded = measurements({"step.count": 100, "host.usable_cores": 2, "host.foreign_cores": 1.0})
    assert confidence(None, (), quiet) == ("high", ())
    level, reasons = confidence(None, (), crowded)
    assert level == "medium"
    assert "1.0 of 2 cores" in reasons[0]
