"""What trials found, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model.mitigation import Advice
from ..model.report import Report
from ..model.trial import Trial
from . import view
from .text import Limits, line

# State -> (a few words, what they look like, what it means)
STATES: Mapping[str, tuple[str, str, str]] = {
    "PROVED": ("proved", "good", "faster by more than noise and more than 1 %"),
    "REFUTED": ("tried: no gain", "warn", "it gains less than 3 %"),
    "HARMFUL": ("tried: slower", "warn", "the steps become longer"),
    "UNDECIDED": ("tried: undecided", "quiet", "the pairs do not tell yet"),
    "NOT_APPLIED": ("could not be tried", "quiet", "the change did not fit the script"),
    "FAILED": ("the script fails with it", "warn", "it ended with an error"),
}


def chip(trial: Trial | None) -> tuple[str, str] | None:
    """Return verdict and look of a trial in a few words; None where there was none."""
    if trial is None:
        return None
    words, look, _ = STATES.get(trial.state, (line(trial.state, 30), "quiet", ""))
    return words, look


def basis(advice: Advice) -> str:
    """Return in a few words where the gain of ``advice`` comes from."""
    short = view.BASES.get(advice.basis, (line(advice.basis, 20), ""))[0]
    if advice.trial is None:
        return short
    words = STATES.get(advice.trial.state, (line(advice.trial.state, 30), "", ""))[0]
    return words if advice.basis == "trial" else f"{short}, {words}"


def sentence(advice: Advice) -> str:
    """Return what the trial of ``advice`` found, in full; "" where there was none."""
    trial = advice.trial
    if trial is None:
        return ""
    return " ".join(part for part in (_result(trial), _predicted(advice), *_details(trial)) if part)


def _result(trial: Trial) -> str:
    """Return verdict, gain and what it rests on."""
    found = view.whole(trial.speedup)
    if found is None:
        reason = line(trial.reason, 300) or STATES.get(trial.state, ("", "", trial.state))[2]
        return f"{trial.state.replace('_', ' ')}: {reason}."
    pairs = f"{trial.pairs} pair{'s' * (trial.pairs != 1)} of fresh runs with and without it"
    level = "" if trial.level is None else f"{trial.level:.1%} interval ".replace("%", " %")
    return (
        f"{trial.state}: {view.exact(found.likely)} ({level}{view.exact(found.low)} to {view.exact(found.high)}) "
        f"over {pairs}."
    )


def _predicted(advice: Advice) -> str:
    """Return what had been predicted."""
    found = view.whole(advice.predicted)
    return "" if found is None else f"Predicted: {view.ratio(found.likely)}."


def _details(trial: Trial) -> list[str]:
    """Return what else a reader has to know: losses, warm-up, resolution, pairs that were left out."""
    parts = []
    if trial.losses is not None:
        parts.append(line(trial.losses.text, 300))
    if trial.warm_up_s is not None and trial.warm_up_s > 0.5:  # less is no reason to think twice
        after = trial.break_even_steps
        earned = "" if after is None else f", earned back after {after:,.0f} steps"
        parts.append(f"Its first steps took {view.duration(trial.warm_up_s)} longer{earned}.")
    if trial.least is not None and trial.state in ("REFUTED", "UNDECIDED"):
        parts.append(f"A gain below {view.exact(trial.least)} could not have been seen.")
    if trial.dropped:
        left = ", ".join(f"{count} ({line(reason, 60)})" for reason, count in sorted(trial.dropped.items()))
        parts.append(f"Pairs left out: {left}.")
    if trial.reason and trial.speedup is not None:
        parts.append(f"{line(trial.reason, 300)}.")
    return parts


def rows(report: Report, limits: Limits) -> list[dict[str, Any]]:
    """Return every trial as a row of a table, with what was predicted beside what was measured."""
    titles = {advice.id: advice for advice in report.mitigations}
    return [_row(trial, titles) for trial in report.trials[: limits.rows]]


def _row(trial: Trial, titles: Mapping[str, Advice]) -> dict[str, Any]:
    """Return one row."""
    found = view.whole(trial.speedup)
    advice = titles.get(trial.mitigations[0]) if len(trial.mitigations) == 1 else None
    predicted = None if advice is None else view.whole(advice.predicted)
    return {
        "what": " + ".join(
            line(titles[one].title if one in titles else one, 80) for one in trial.mitigations
        ),
        "state": trial.state.replace("_", " "),
        "look": STATES.get(trial.state, ("", "quiet", ""))[1],
        "predicted": "" if predicted is None else view.ratio(predicted.likely),
        "measured": "" if found is None else view.exact(found.likely),
        "range": "" if found is None else f"{view.exact(found.low)} to {view.exact(found.high)}",
        "pairs": trial.pairs,
        "losses": "" if trial.losses is None else trial.losses.relation,
        "reason": line(trial.reason, 200),
    }
