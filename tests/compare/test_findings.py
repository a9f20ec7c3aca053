"""Findings fixed and new, ceilings, metrics of efficiency, and what else differs."""

from __future__ import annotations

import pytest
from trainbottleneck.compare.differences import differences
from trainbottleneck.compare.findings import ceilings, efficiency, findings
from trainbottleneck.model.comparison import Difference
from trainbottleneck.model.report import Report

from .builders import facts, finding, group, report


def _differ(before: Report, after: Report) -> list[Difference]:
    """Return what differs between two runs."""
    return list(differences(group("A", facts(before)), group("B", facts(after))))


def test_findings_are_fixed_new_still_there_or_unknown() -> None:
    before = report(findings=[finding("loader"), finding("gc"), finding("sync"), finding("log", "silent")])
    after = report(
        findings=[
            finding("loader", "silent"),
            finding("gc", share=0.1),
            finding("sync", "unknown", missing=["host.sync_s"]),
            finding("log"),
        ]
    )
    found = {row.rule: row for row in findings(group("A", facts(before)), group("B", facts(after)))}
    assert {rule: row.standing for rule, row in found.items()} == {
        "loader": "fixed",
        "log": "new",
        "gc": "still",
        "sync": "unknown",
    }
    assert list(found) == ["loader", "log", "gc", "sync"]
    assert (found["gc"].before, found["gc"].after) == (0.3, 0.1)
    assert found["sync"].note == "B: not measured: host.sync_s"


def test_a_rule_that_one_side_never_judged_is_no_fix() -> None:
    (row,) = findings(group("A", facts(report(findings=[finding("loader")]))), group("B", facts(report())))
    assert row.standing == "unknown" and row.note == "B: not judged"


def test_of_several_runs_the_majority_decides_and_the_rest_is_told() -> None:
    fires, silent = (facts(report(findings=[finding("loader", state)])) for state in ("fires", "silent"))
    (row,) = findings(group("A", fires, fires, silent), group("B", silent, silent, fires))
    assert row.standing == "fixed"
    assert row.note == "A: in 2 of 3 runs; B: in 1 of 3 runs"


def test_ceilings_stand_side_by_side() -> None:
    before = report(
        ceilings=[{"resource": "input", "state": "measured", "share": 0.7, "interval": [0.6, 0.8]}]
    )
    after = report(
        ceilings=[
            {"resource": "input", "state": "refused", "share": None},
            {"resource": "gc", "state": "measured", "share": 0.1, "interval": None},
        ]
    )
    rows = ceilings(group("A", facts(before)), group("B", facts(after)))
    assert [(row.resource, row.before, row.after) for row in rows] == [
        ("input", 0.7, None),
        ("gc", None, 0.1),
    ]
    assert rows[0].before_interval == (0.6, 0.8)


def test_metrics_of_efficiency_tell_their_ratio() -> None:
    before = report(efficiency={"throughput": {"value": 100.0, "unit": "samples per s", "blind_to": "x"}})
    after = report(efficiency={"throughput": {"value": 250.0, "unit": "samples per s", "blind_to": "x"}})
    (row,) = efficiency(group("A", facts(before)), group("B", facts(after)))
    assert row.ratio == pytest.approx(2.5) and row.unit == "samples per s"


def test_only_what_can_change_the_time_of_a_step_is_told() -> None:
    before = report(environment={"torch": "2.4.0", "os": "one", "cores": 4, "container": "docker"})
    after = report(environment={"torch": "2.6.0", "os": "other", "cores": 8, "container": None})
    assert [(row.name, row.before, row.after) for row in _differ(before, after)] == [
        ("usable cores", "4", "8"),
        ("torch", "2.4.0", "2.6.0"),
    ]


def test_what_one_side_does_not_know_is_no_difference() -> None:
    assert _differ(report(environment={"torch": "2.4.0"}), report(environment={})) == []


def test_variables_are_compared_one_by_one() -> None:
    before = report(environment={"variables": ["OMP_NUM_THREADS=1", "NCCL_DEBUG=WARN"]})
    after = report(environment={"variables": ["OMP_NUM_THREADS=8", "NCCL_DEBUG=WARN"]})
    assert [(row.name, row.before, row.after) for row in _differ(before, after)] == [
        ("OMP_NUM_THREADS", "1", "8")
    ]
    (row,) = _differ(report(environment={"variables": ["PYTHONMALLOC=malloc"]}), report())
    assert (row.before, row.after) == ("malloc", "not set")


def test_arguments_keep_the_flag_beside_its_value() -> None:
    before = report(
        run={"command": ["/a/python3", "/a/train.py", "--lr", "0.1", "--fast"], "script": "/a/train.py"}
    )
    after = report(run={"command": ["/b/python3", "/b/train.py", "--lr", "0.2"], "script": "/b/train.py"})
    (row,) = _differ(before, after)
    assert (row.before, row.after) == ("--lr 0.1 --fast", "--lr 0.2")


def test_the_same_command_from_another_folder_is_the_same() -> None:
    before, after = (report(run={"command": [f"/{at}/train.py"], "script": f"/{at}/train.py"}) for at in "ab")
    assert _differ(before, after) == []


def test_settings_of_the_script_are_told_in_words() -> None:
    rows = _differ(report(input__workers=0, optimizer__fused=0), report(input__workers=4, optimizer__fused=1))
    assert [(row.name, row.before, row.after) for row in rows] == [
        ("num_workers of the training loader", "0", "4"),
        ("The optimizer runs fused", "no", "yes"),
    ]


def test_runs_of_a_side_that_differ_among_themselves_are_told_apart() -> None:
    one, two = facts(report(input__workers=2)), facts(report(input__workers=4))
    (row,) = differences(group("A", one, one, two), group("B", two))
    assert row.before == "2 (2 of 3 runs), 4 (1 of 3 runs)"


def test_work_comes_before_settings_and_machine() -> None:
    before = report(environment={"torch": "2.4"}, model__parameters=1, input__workers=0)
    after = report(environment={"torch": "2.5"}, model__parameters=2, input__workers=1)
    assert [row.sort for row in _differ(before, after)] == ["workload", "settings", "software"]
