"""What trials found, beside what was predicted, in every output."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trainbottleneck.advise.proved import with_trials
from trainbottleneck.model.finding import Interval
from trainbottleneck.model.report import Report
from trainbottleneck.model.trial import Change, LossComparison, Trial
from trainbottleneck.render import html_report, json_report, terminal_report, trials

from . import samples

CHANGE = Change(mitigation="augment_on_device", override="loader", settings={"num_workers": 2.0})
PROVED = Trial(
    mitigations=("augment_on_device",),
    changes=(CHANGE,),
    state="PROVED",
    speedup=Interval(low=1.81, likely=1.92, high=2.04),
    level=0.9818,
    pairs=5,
    least=1.04,
    base_s=0.08,
    arm_s=0.042,
    warm_up_s=3.2,
    break_even_steps=84.0,
    losses=LossComparison(
        relation="identical", steps=60, largest=0.0, text="Losses are the same, bit for bit."
    ),
)


def report(*found: Trial) -> Report:
    """Return a report on a run whose fourth advice can be tried and was, with these results."""
    plain = samples.rich()
    advice = [
        replace(one, changes=(CHANGE,), speedup=Interval(low=1.5, likely=1.7, high=2.5), basis="simulation")
        if one.id == "augment_on_device"
        else one
        for one in plain.mitigations
    ]
    return replace(plain, mitigations=with_trials(advice, found), trials=found)


def test_what_is_proved_comes_first_with_what_it_gained_and_what_was_predicted() -> None:
    made = report(PROVED)
    first = made.mitigations[0]
    assert first.id == "augment_on_device" and first.basis == "trial"
    assert first.speedup == PROVED.speedup and first.predicted == Interval(low=1.5, likely=1.7, high=2.5)
    said = trials.sentence(first)
    assert said.startswith("PROVED: 1.92× (98.2 % interval 1.81× to 2.04×) over 5 pairs")
    assert "Predicted: 1.7×." in said and "bit for bit" in said and "earned back after 84 steps" in said
    page = html_report.render(made)
    assert said.replace("'", "&#39;") in page and ">proved<" in page
    assert "proved" in terminal_report.render(made, width=100)


@pytest.mark.parametrize(
    ("state", "place", "words"),
    [
        ("REFUTED", -1, "tried: no gain"),
        ("HARMFUL", -1, "tried: slower"),
        ("UNDECIDED", 3, "simulated, tried: undecided"),
        ("NOT_APPLIED", 3, "simulated, could not be tried"),
        ("FAILED", 3, "simulated, the script fails with it"),
    ],
)
def test_what_does_not_help_comes_last_and_what_is_open_keeps_its_place(
    state: str, place: int, words: str
) -> None:
    made = report(replace(PROVED, state=state, reason="of a reason"))
    at = [one.id for one in made.mitigations].index("augment_on_device")
    assert at == (place if place >= 0 else len(made.mitigations) - 1)
    assert trials.basis(made.mitigations[at]) == words
    if state in ("UNDECIDED", "NOT_APPLIED", "FAILED"):
        assert made.mitigations[at].speedup == Interval(low=1.5, likely=1.7, high=2.5)
    else:
        assert made.mitigations[at].speedup == PROVED.speedup


def test_a_trial_of_other_numbers_says_nothing_of_this_advice() -> None:
    other = replace(CHANGE, settings={"num_workers": 3.0})
    made = report(replace(PROVED, changes=(other,)))
    assert all(one.trial is None for one in made.mitigations) and len(made.trials) == 1


def test_trials_survive_the_file() -> None:
    made = report(PROVED)
    again = json_report.load(json_report.render(made))
    assert again.trials == made.trials and again.mitigations == made.mitigations


def test_every_trial_is_a_row_of_the_table_those_of_several_changes_too() -> None:
    both = replace(PROVED, mitigations=("dataloader_workers", "augment_on_device"), dropped={"steal": 2})
    rows = trials.rows(report(PROVED, both), html_report.Limits())
    assert [row["measured"] for row in rows] == ["1.92×", "1.92×"]
    assert rows[0]["predicted"] == "1.7×" and rows[1]["predicted"] == ""
    assert rows[1]["what"] == "Make batches in 6 worker processes + Rotate whole batches on the device"
