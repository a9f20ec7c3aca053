"""The gauntlet's own arithmetic."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from . import results, score, truth
from .case import cases
from .record import stamp
from .truth import Arm


def row(kind: str = "cause", **answer: Any) -> dict[str, Any]:
    given = {
        "state": "bottleneck", "bottleneck": "storage", "share": 0.4, "share_basis": "ceiling",
        "ranking": ["storage", "logging"], "claims": [], "ceilings": {}, "step_s": 0.1, "after_start_s": 20.0,
    }  # fmt: skip
    return {
        "case": "a", "dose": "strong", "kind": kind, "expect": ["storage"], "then": ["logging"],
        "override": "dl_workers", "answer": {**given, **answer},
    }  # fmt: skip


def claim(leaf: str, likely: float, basis: str = "simulation", **more: Any) -> dict[str, Any]:
    speedup = {"low": likely * 0.9, "likely": likely, "high": likely * 1.1}
    return {
        "id": "dl_workers",
        "bottleneck": leaf,
        "basis": basis,
        "next_wall": None,
        "speedup": speedup,
        **more,
    }


def test_a_verdict_is_right_by_leaf_by_rank_and_by_family() -> None:
    assert score.top1(row()) and score.top2(row()) and score.family(row())
    second = row(bottleneck="dataloader", ranking=["dataloader", "storage"])
    assert not score.top1(second) and score.top2(second) and score.family(second)
    third = row(bottleneck="logging", ranking=["logging", "gc", "storage"])
    assert not score.top1(third) and not score.top2(third) and not score.family(third)


def test_a_healthy_verdict_is_no_answer_to_a_planted_cause() -> None:
    found = row(state="healthy", bottleneck="storage")
    assert score.said(found) == "healthy"
    assert not score.top1(found) and not score.top2(found) and not score.family(found)


def test_an_alarm_is_a_tenth_of_the_step_or_measured_advice_that_promises_as_much() -> None:
    assert score.alarm(row("healthy")) == "storage 40%"
    assert not score.alarm(row("healthy", share=0.09))
    quiet = {"state": "healthy", "share": None}
    assert not score.alarm(row("healthy", **quiet, claims=[claim("storage", 2.0)]))  # what it may name
    assert score.alarm(row("decoy", **quiet, claims=[claim("gc", 1.2)]))
    assert not score.alarm(row("decoy", **quiet, claims=[claim("gc", 1.2, "literature"), claim("gc", 1.05)]))


def test_the_next_wall_is_the_second_bottleneck_or_what_the_first_advice_tells() -> None:
    assert score.next_wall(row("compound"))
    told = row("compound", ranking=["storage"], claims=[claim("storage", 2.0, next_wall="logging")])
    assert score.next_wall(told)
    assert not score.next_wall(row("compound", ranking=["storage", "gc", "logging"]))


def test_ceilings_and_promises_are_held_against_the_fixed_script() -> None:
    known = {"truth": {"step_s": 0.1, "fixed_step_s": 0.05, "speedup": 2.0, "low": 1.9, "high": 2.1}}
    found = {**row(ceilings={"input": 0.55}, claims=[claim("storage", 2.5)]), **known}
    assert score.ceiling_error(found) == pytest.approx(0.1)
    assert score.promise_error(found) == pytest.approx(-0.2)
    assert score.covered(found) is False
    assert score.ceiling_error(row(ceilings={"input": 0.5})) is None
    assert score.ceiling_error({**found, "partial": True}) is None


def test_pairs_in_which_the_hypervisor_took_the_cores_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([(0.0, 0.0), (6.0, 100.0), *[(6.0, 100.0 * n) for n in range(1, 99)]])
    monkeypatch.setattr(truth, "cores_time", lambda: next(readings))
    arms = iter([9.0, 1.0, *[1.0, 2.0, 2.0, 1.0] * 9])  # the first pair would say something else
    monkeypatch.setattr(truth, "run", lambda *about: Arm(step_s=1.0, sample_s=next(arms), steps=9))
    found = truth.measure(["given"], ["fixed"], {}, 0.0)
    assert found.pairs == 3 and found.speedup == pytest.approx(2.0)


def test_truth_of_a_machine_that_others_have_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([(10.0 * n, 100.0 * n) for n in range(99)])
    monkeypatch.setattr(truth, "cores_time", lambda: next(readings))
    monkeypatch.setattr(truth, "run", lambda *about: Arm(step_s=1.0, sample_s=1.0, steps=9))
    with pytest.raises(truth.Disturbed, match="10 of 10 pairs"):
        truth.measure(["given"], ["fixed"], {}, 0.0)


def test_truth_is_the_geometric_mean_of_pairs_with_their_t_interval() -> None:
    pairs = [
        (Arm(step_s=2 * a, sample_s=2 * a, steps=9), Arm(step_s=a, sample_s=a / 2, steps=9))
        for a in (1.0, 1.1, 1.2)
    ]
    found = truth.truth(pairs)
    assert found.speedup == pytest.approx(4) and found.low == pytest.approx(4) and truth.known(pairs)
    assert found.step_s == pytest.approx(2 * math.prod((1.0, 1.1, 1.2)) ** (1 / 3))
    assert not truth.known(pairs[:2])
    # log ratios 0, d, 2 d: mean d, standard deviation d, 4.303 / sqrt(3) = 2.484 standard errors
    assert truth.half_width([0.0, 0.1, 0.2]) == pytest.approx(0.2484, abs=1e-4)


def test_laps_before_the_end_of_the_warm_up_do_not_count() -> None:
    laps = [(0.0, 4.0), (1.0, 4.0), (2.0, 4.0), (2.5, 4.0), (3.0, 4.0)]
    found = truth.arm(laps, warm_s=2.0)
    assert found == Arm(step_s=0.5, sample_s=0.125, steps=2)
    assert truth.arm(laps[:3], warm_s=2.0) is None and truth.arm([], 1.0) is None


def test_an_arm_without_steps_says_what_it_printed() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no data')"]
    with pytest.raises(truth.NoSteps, match="no data"):
        truth.run(command, {}, 1.0)


def test_an_arm_is_ended_with_what_it_started() -> None:
    code = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE).wait()"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    truth.end(process)
    assert process.returncode is not None


def test_results_are_kept_and_shown(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "ROWS", tmp_path / "rows.json")
    monkeypatch.setattr(results, "RESULTS", tmp_path / "page.md")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text(f"before\n{results.BEGIN}what was there\n{results.END}after\n")
    rows = [
        row(),
        {**row("healthy", state="healthy", share=None), "case": "b"},
        {**row(bottleneck="gc"), "case": "c"},
    ]
    results.write({(one["case"], one["dose"]): one for one in rows})
    assert {key: one["answer"]["state"] for key, one in results.read().items()} == {
        ("a", "strong"): "bottleneck", ("b", "strong"): "healthy", ("c", "strong"): "bottleneck",
    }  # fmt: skip
    page = (tmp_path / "page.md").read_text()
    assert "| top-1, strong doses | 1 of 2 (50%) |" in page
    assert "| false alarms, healthy | 0 of 1 (0%) |" in page
    assert "gc **wrong**" in page
    readme = (tmp_path / "README.md").read_text()
    assert "1 of 2 (50%)" in readme and "what was there" not in readme
    assert readme.startswith("before\n") and readme.endswith("after\n")


def test_readme_quotes_the_results_that_are_kept() -> None:
    rows = results.read()
    text = results.README.read_text(encoding="utf-8")
    assert results.quoted(text, [rows[key] for key in sorted(rows)]) == text


def test_what_another_machine_measured_stays_until_the_case_changes() -> None:
    case = cases(["gc_storm"])[0]
    known = {
        "case": "gc_storm",
        "dose": "strong",
        "version": stamp(case, "strong"),
        "traceml": {"text": "BALANCED"},
    }
    rows = {("gc_storm", "strong"): dict(known)}
    assert not results.outdated(rows, case, "strong") and rows
    new = {"case": "gc_storm", "dose": "strong", "version": known["version"], "answer": {}}
    assert results.completed(new, rows) == {**new, "traceml": {"text": "BALANCED"}}
    rows["gc_storm", "strong"]["version"] = "another"
    assert results.completed(new, rows) == new
    assert results.outdated(rows, case, "strong") and not rows


def test_a_truth_that_is_not_known_tells_no_error() -> None:
    truth = {"step_s": 0.1, "fixed_step_s": 0.05, "speedup": 2.0, "low": 1.6, "high": 2.4}
    assert score.sure({"truth": truth}) == truth
    assert score.sure({"truth": {**truth, "low": 1.5}}) is None
    assert score.sure({"truth": {**truth, "low": 0.0}}) is None
    assert score.sure({}) is None
