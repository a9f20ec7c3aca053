"""How right the answers are: pure functions over rows (``record.Row`` as plain dicts), each one dose of one case."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from trainbottleneck.model.report import FAMILY_OF

Row = Mapping[str, Any]
HEALTHY = "healthy"
ALARM_FRAC = 0.10  # a claim that somebody would act on
NOTHING = 1.03  # a fix that gains less does nothing
SURE = 1.25  # times too low or too high that a truth may be, at most, to tell how wrong a figure is
MEASURED = ("trial", "ceiling", "simulation", "bracket")  # where a claim comes from; the rest is literature
# What a fix of each bottleneck takes away entirely: its step is what the ceiling of that resource says.
RESOURCE = {
    "dataloader": "input", "cpu_preprocessing": "input", "storage": "input", "logging": "logging",
    "checkpoint": "checkpoint", "evaluation": "evaluation", "gc": "gc",
    "h2d_transfer": "transfer", "sync": "sync", "communication": "collectives", "straggler": "collectives",
    "host_overhead": "anomaly",
}  # fmt: skip


def said(row: Row) -> str:
    """Return the bottleneck that the tool named, ``healthy``, or ``nothing``."""
    answer = row["answer"]
    if answer["state"] == HEALTHY:
        return HEALTHY
    return str(answer["bottleneck"] or "nothing") if answer["state"] == "bottleneck" else "nothing"


def is_planted(row: Row) -> bool:
    return row["kind"] in ("cause", "compound")


def top1(row: Row) -> bool:
    """Return whether the verdict is a right one."""
    return said(row) in row["expect"]


def top2(row: Row) -> bool:
    """Return whether one of the first two bottlenecks is a right one."""
    return said(row) != HEALTHY and bool(set(row["answer"]["ranking"][:2]) & set(row["expect"]))


def family(row: Row) -> bool:
    """Return whether the verdict's family is a right one."""
    return FAMILY_OF.get(said(row)) in {FAMILY_OF[leaf] for leaf in row["expect"]}


def next_wall(row: Row) -> bool:
    """Return whether, after the first wall, one of ``then`` is named: as second bottleneck or as the next wall."""
    others = [leaf for leaf in row["answer"]["ranking"] if leaf not in row["expect"]][:1]
    walls = [claim["next_wall"] for claim in row["answer"]["claims"][:1]]
    return bool({*others, *walls} & set(row["then"]))


def alarm(row: Row) -> str:
    """Return what is claimed of a script that nothing holds up, ``""`` where nothing is.

    A bottleneck of a tenth of the step or more that is none of ``expect``, or measured advice against one.
    """
    answer = row["answer"]
    if answer["state"] == "bottleneck" and (answer["share"] or 0) >= ALARM_FRAC:
        return f"{answer['bottleneck']} {answer['share']:.0%}"
    for claim in answer["claims"]:
        wrong = claim["bottleneck"] not in row["expect"] and claim["basis"] in MEASURED
        if wrong and claim["speedup"]["likely"] >= 1 / (1 - ALARM_FRAC):
            return f"{claim['id']} {claim['speedup']['likely']:.2f}x"
    return ""


def rate(rows: Iterable[Row], good: Callable[[Row], bool]) -> tuple[int, int]:
    """Return (how many are good, how many there are)."""
    verdicts = [good(row) for row in rows]
    return sum(verdicts), len(verdicts)


def sure(row: Row) -> Mapping[str, Any] | None:
    """Return what the fix gains, None where that was not measured or is not known to within a quarter.

    Where others had the machine an interval may reach from half to threefold: that tells no error of a tenth.
    """
    truth: Mapping[str, Any] | None = row.get("truth")
    if not truth or truth["low"] <= 0 or truth["high"] / truth["low"] > SURE**2:
        return None
    return truth


def ceiling_error(row: Row) -> float | None:
    """Return the step without the resource over the fixed script's, minus one; None where there is none.

    Both relative to the script as it is, which was measured in turn with each: the machine's speed changes in minutes.
    """
    truth = sure(row)
    if row["kind"] != "cause" or not truth or row.get("partial"):
        return None
    left = row["answer"]["ceilings"].get(RESOURCE.get(row["expect"][0], ""))
    return left * truth["step_s"] / truth["fixed_step_s"] - 1 if left else None


def promise(row: Row) -> Mapping[str, Any] | None:
    """Return the claim about the mitigation that does what the fix does."""
    return next((one for one in row["answer"]["claims"] if one["id"] == row.get("override")), None)


def promise_error(row: Row) -> float | None:
    """Return the promised step over the fixed script's, minus one."""
    claim, truth = promise(row), sure(row)
    return truth["speedup"] / claim["speedup"]["likely"] - 1 if claim and truth else None


def trial_error(row: Row) -> float | None:
    """Return the step that a PROVED trial measured over the fixed script's, minus one; None where there is none."""
    trial, truth = row.get("trial"), sure(row)
    if not trial or not truth or trial["state"] != "PROVED":
        return None
    return float(truth["speedup"] / trial["speedup"]["likely"] - 1)


def foretold_error(row: Row) -> float | None:
    """Return the step that a PROVED trial measured over what the same advice promised before, minus one."""
    trial, claim = row.get("trial"), promise(row)
    if not trial or trial["state"] != "PROVED" or claim is None:
        return None
    return float(claim["speedup"]["likely"] / trial["speedup"]["likely"] - 1)


def reached(row: Row) -> float | None:
    """Return the speed of the recipe that ``tune`` found over that of the script fixed by hand."""
    tuned, truth = row.get("tuned"), sure(row)
    return float(tuned["speedup"] / truth["speedup"]) if tuned and truth else None


def covered(row: Row) -> bool | None:
    """Return whether the promised range meets the truth's interval."""
    claim, truth = promise(row), sure(row)
    if not claim or not truth:
        return None
    return bool(claim["speedup"]["low"] <= truth["high"] and truth["low"] <= claim["speedup"]["high"])


def percentile(values: Sequence[float], part: float) -> float | None:
    """Return the value that ``part`` of the absolute ``values`` do not exceed; None of nothing."""
    ordered = sorted(abs(value) for value in values)
    return ordered[min(len(ordered) - 1, round(part * (len(ordered) - 1)))] if ordered else None


def confusion(rows: Iterable[Row]) -> dict[tuple[str, str], int]:
    """Return how often (planted, named) came up; a named leaf that is right counts as the planted one."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        first = row["expect"][0]
        pair = (first, first if top1(row) else said(row))
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def present(values: Iterable[float | None]) -> list[float]:
    """Return what was measured."""
    return [value for value in values if value is not None]


def median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
