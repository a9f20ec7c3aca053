"""report.json: strict, ordered, reversible, and clear about what it refuses."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from trainbottleneck.errors import RecordError
from trainbottleneck.model.finding import Interval
from trainbottleneck.model.report import Report
from trainbottleneck.render import json_report

from .samples import SAMPLES, healthy, rich


@pytest.mark.parametrize("name", SAMPLES)
def test_load_is_the_inverse_of_render(name: str) -> None:
    text = json_report.render(SAMPLES[name]())
    assert json_report.render(json_report.load(text)) == text


def test_loaded_report_has_the_models_own_types() -> None:
    assert json_report.load(json_report.render(healthy())) == healthy()


def test_keys_are_every_field_and_begin_with_the_contract() -> None:
    keys = list(json.loads(json_report.render(rich())))
    assert set(keys) == {field.name for field in dataclasses.fields(Report)}
    assert keys[:4] == ["schema", "verdict", "step", "findings"]


def test_numbers_that_json_lacks_become_null_and_come_back_as_nan() -> None:
    verdict = dataclasses.replace(
        rich().verdict, ceiling_speedup=Interval(low=math.nan, likely=2.0, high=math.inf)
    )
    report = dataclasses.replace(rich(), verdict=verdict, environment={"cores": math.inf})
    text = json_report.render(report)
    assert json.loads(text, parse_constant=pytest.fail)["environment"] == {"cores": None}
    back = json_report.load(text)
    assert back.verdict.ceiling_speedup is not None
    assert math.isnan(back.verdict.ceiling_speedup.low)
    assert json_report.render(back) == text


def test_lone_surrogates_survive() -> None:
    report = dataclasses.replace(rich(), environment={"machine": "\ud800"})
    assert json_report.load(json_report.render(report).encode().decode()).environment == {"machine": "\ud800"}


def test_a_tree_deeper_than_the_interpreter_allows_is_cut() -> None:
    tree: dict[str, object] = {"name": "leaf", "value": 1}
    for _ in range(5000):
        tree = {"name": "frame", "value": 1, "children": [tree]}
    text = json_report.render(dataclasses.replace(rich(), pictures={"stacks": {"flame": tree}}))
    assert json_report.render(json_report.load(text)) == text


def test_unknown_keys_are_ignored() -> None:
    raw = json.loads(json_report.render(healthy()))
    raw["verdict"]["mood"] = raw["future"] = "bright"
    assert json_report.load(json.dumps(raw)) == healthy()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a report"),
        ("[]", "holds a list"),
        ("{}", "schema"),
        ('{"schema": true}', "schema"),
        ('{"schema": 99}', "schema 99 and this version reads up to 1"),
        ('{"schema": 1}', "verdict"),
        ('{"schema": 1, "verdict": 3}', "verdict"),
        ("[" * 10000, "not a report"),
    ],
)
def test_what_is_no_report_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(RecordError, match=message) as caught:
        json_report.load(text)
    assert "\n" not in str(caught.value)
