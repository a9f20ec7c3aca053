"""The rows of the gauntlet as ``results.json`` and, for people, as RESULTS.md."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import score
from .case import Case, cases
from .record import stamp
from .score import Row

HERE = Path(__file__).parent
ROWS, RESULTS, README = HERE / "results.json", HERE / "RESULTS.md", HERE.parents[1] / "README.md"
BEGIN, END = "<!-- gauntlet: written by make gauntlet -->\n", "<!-- end of gauntlet -->\n"
RIVALS = ("phase", "operator", "traceml")
Rows = dict[tuple[str, str], dict[str, Any]]


def read() -> Rows:
    """Return the rows kept, by (case, dose)."""
    if not ROWS.exists():
        return {}
    return {(row["case"], row["dose"]): row for row in json.loads(ROWS.read_text(encoding="utf-8"))}


def outdated(rows: Rows, case: Case, dose: str) -> bool:
    """Take the row of a dose out of ``rows`` unless it was measured on this version of the case; return whether."""
    known = rows.get((case.name, dose))
    if known is not None and known.get("version") == stamp(case, dose):
        return False
    rows.pop((case.name, dose), None)
    return True


def completed(row: dict[str, Any], rows: Rows) -> dict[str, Any]:
    """Return ``row`` with the rival's answer that ``rows`` has for the same version of its case, if it has none."""
    before = rows.get((row["case"], row["dose"]), {})
    if "traceml" in before and before.get("version") == row["version"]:
        return {"traceml": before["traceml"], **row}
    return row


def write(rows: Rows) -> None:
    """Write both files."""
    ordered = [_rounded(rows[key]) for key in sorted(rows)]  # the texts are made of what is kept
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in ordered)
    ROWS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    RESULTS.write_text(page(ordered), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    README.write_text(quoted(text, ordered), encoding="utf-8")


def quoted(text: str, rows: Sequence[Row]) -> str:
    """Return README's ``text`` with the summary of ``rows`` between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{README} has no marks {BEGIN.strip()} and {END.strip()}")
    return f"{before}{BEGIN}{_summary(rows)}\n{END}{after}"


def _rounded(value: Any) -> Any:
    """Return ``value`` with four significant digits: more were never measured."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def line(row: Row) -> str:
    """Return a row in a few words, for the terminal."""
    answer, truth = row["answer"], row.get("truth")
    share = f" {answer['share']:.0%}" if answer["share"] is not None and score.said(row) != "healthy" else ""
    gain = f"; the fix gains {1 - 1 / truth['speedup']:.0%}" if truth else ""
    took = f"{answer['after_start_s']:.0f} s{_disturbed(row)}"
    return f"{'right' if right(row) else 'WRONG'}: {score.said(row)}{share}{gain}; {took}"


def _disturbed(row: Row) -> str:
    """Return how busy other programs were, where that is worth a word: a tenth of a core."""
    cores = row["answer"]["foreign_cores"] or 0
    return f"; others had {cores:.1f} cores" if cores >= 0.1 else ""


def right(row: Row) -> bool:
    """Return whether the answer is right: the planted bottleneck, or no alarm."""
    return score.top1(row) if score.is_planted(row) else not score.alarm(row)


def page(rows: Sequence[Row]) -> str:
    """Return RESULTS.md."""
    parts = [
        "# What the gauntlet measured",
        "Written by `make gauntlet`; [README.md](README.md) says what cases, doses and rivals are. Each row is one run "
        "of the tool with its default options. Truth: the paired gain of the fix on this machine, without the tool.",
        "## How right",
        _summary(rows),
        "## Planted against named",
        _confusion([row for row in rows if score.is_planted(row)]),
        "## Every case",
        _all(rows),
    ]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _summary(rows: Sequence[Row]) -> str:
    strong = [row for row in rows if score.is_planted(row) and row["dose"] == "strong"]
    low = [row for row in rows if score.is_planted(row) and row["dose"] == "low"]
    compound = [row for row in rows if row["kind"] == "compound"]
    body = [
        ["top-1, strong doses", *_of(strong, score.top1, "top1")],
        ["top-2, strong doses", *_of(strong, score.top2, "top2")],
        ["family, strong doses", *_of(strong, score.family, "family")],
        ["top-1, low doses (about 1.12x)", *_of(low, score.top1, "top1")],
        ["next wall of compound cases", *_of(compound, score.next_wall, None)],
        *_alarms(rows),
    ]
    figures = "\n".join(f"- {text}" for text in _figures(rows))
    verdicts = table(["", "bottleneck", "largest phase", "largest operator", "TraceML"], body)
    return "\n\n".join((verdicts, figures, *_trials(rows)))


def _trials(rows: Sequence[Row]) -> list[str]:
    """Return the table of what was promised, tried, and gained by hand."""
    tried = [row for row in rows if row.get("trial") or row.get("tuned")]
    if not tried:
        return []
    head = ["case", "advice", "promised", "`prove`", "fixed by hand", "`tune`"]
    return [table(head, [_trial(row) for row in tried])]


def _trial(row: Row) -> list[str]:
    promise, trial, truth, tuned = score.promise(row), row.get("trial"), row.get("truth"), row.get("tuned")
    return [
        row["case"] if row["dose"] == "strong" else f"{row['case']}, low",
        row["override"],
        "-" if promise is None else _times(promise["speedup"]),
        "-" if trial is None else " ".join(filter(None, (trial["state"], _times(trial.get("speedup"))))),
        "-" if truth is None else f"{truth['speedup']:.2f}x ({truth['low']:.2f} to {truth['high']:.2f})",
        "-" if tuned is None else f"{tuned['speedup']:.2f}x",
    ]


def _times(gain: Mapping[str, float] | None) -> str:
    return "" if gain is None else f"{gain['likely']:.2f}x ({gain['low']:.2f} to {gain['high']:.2f})"


def _of(rows: Sequence[Row], good: Callable[[Row], bool], rival: str | None) -> list[str]:
    cells = [_part(*score.rate(rows, good))]
    for name in RIVALS:
        answered = [row for row in rows if row.get(name)] if rival else []
        test = _rival(name, rival or "")
        cells.append(_part(*score.rate(answered, test)) if answered else "-")
    return cells


def _rival(name: str, kind: str) -> Callable[[Row], bool]:
    def good(row: Row) -> bool:
        leaves, wanted = row[name]["leaves"], row["expect"]
        if kind == "family":
            return bool(
                {score.FAMILY_OF.get(leaf) for leaf in leaves} & {score.FAMILY_OF[leaf] for leaf in wanted}
            )
        return bool(set(leaves) & set(wanted))

    return good


def _alarms(rows: Sequence[Row]) -> list[list[str]]:
    body = []
    for kind in ("healthy", "decoy"):
        chosen = [row for row in rows if row["kind"] == kind]
        cells = [_part(*score.rate(chosen, lambda row: bool(score.alarm(row))))]
        for name in RIVALS:
            answered = [row for row in chosen if row.get(name)]
            wrong = [row for row in answered if _blames(row[name]["leaves"], row["expect"])]
            cells.append(_part(len(wrong), len(answered)) if answered else "-")
        body.append([f"false alarms, {kind}", *cells])
    return body


def _blames(leaves: Sequence[str], expect: Sequence[str]) -> bool:
    """Return whether an answer names something that is not there; who names nothing blames nothing."""
    return bool(leaves) and not set(leaves) & {*expect, "healthy"}


def _part(good: int, all_: int) -> str:
    return f"{good} of {all_} ({good / all_:.0%})" if all_ else "-"


def _figures(rows: Sequence[Row]) -> list[str]:
    ceilings = score.present(score.ceiling_error(row) for row in rows)
    promises = score.present(score.promise_error(row) for row in rows)
    trials = score.present(score.trial_error(row) for row in rows)
    foretold = score.present(score.foretold_error(row) for row in rows)
    reached = score.present(score.reached(row) for row in rows)
    cover = [found for found in (score.covered(row) for row in rows) if found is not None]
    waits = [row["answer"]["after_start_s"] for row in rows]
    aboard = [row["answer"]["step_s"] / row["truth"]["step_s"] - 1 for row in rows if _comparable(row)]
    return [
        _extent(rows),
        f"ceilings against the fixed script's step: {_errors(ceilings)}",
        f"advice that does what the fix does, promised against measured step: {_errors(promises)}; the range holds "
        f"the truth in {_part(sum(cover), len(cover))}",
        f"proved by a trial against the script fixed by hand: {_errors(trials)}",
        f"promised against proved by the trial of the same advice: {_errors(foretold)}",
        f"`tune` against the script fixed by hand: {_shares(reached)}",
        f"time to verdict beyond the script's own start: median {score.median(waits):.0f} s, "
        f"longest {max(waits):.0f} s" if waits else "no case was run",
        f"step under the tool against the step without it, other times and other processes: median "
        f"{score.median(aboard):+.1%}" if aboard else "no truth was measured",
    ]  # fmt: skip


def _shares(values: Sequence[float]) -> str:
    return (
        f"{len(values)}, median {score.median(values):.0%} of its speed, least {min(values):.0%}"
        if values
        else "none"
    )


def _extent(rows: Sequence[Row]) -> str:
    """Return how much of the gauntlet these rows are."""
    there = sum(len(case.doses) for case in cases())
    truths = sum(bool(row.get("truth")) for row in rows)
    sure = sum(score.sure(row) is not None for row in rows)
    return (
        f"{len(rows)} of {there} doses of {len(cases())} cases were diagnosed, {truths} with measured truth "
        f"({sure} known to within a quarter: the errors below rest on those), "
        f"{sum(bool(row.get('trial')) for row in rows)} with a trial, "
        f"{sum(bool(row.get('traceml')) for row in rows)} by TraceML"
    )


def _comparable(row: Row) -> bool:
    return bool(row.get("truth") and row["answer"]["step_s"])


def _errors(values: Sequence[float]) -> str:
    middle, high = score.percentile(values, 0.5), score.percentile(values, 0.9)
    return (
        "none" if middle is None else f"{len(values)}, median error {middle:.0%}, 90th percentile {high:.0%}"
    )


def _confusion(rows: Sequence[Row]) -> str:
    counts = score.confusion(rows)
    named = sorted({name for _, name in counts})
    body = [
        [planted, *(str(counts.get((planted, name), "")) for name in named)]
        for planted in sorted({planted for planted, _ in counts})
    ]
    return table(["planted", *named], body)


def _all(rows: Sequence[Row]) -> str:
    head = [
        "case",
        "dose",
        "planted",
        "named",
        "share (from)",
        "the fix gains",
        "largest phase",
        "largest operator",
        "TraceML",
        "verdict after",
    ]
    return table(head, [_cells(row) for row in rows])


def _cells(row: Row) -> list[str]:
    answer, truth = row["answer"], row.get("truth")
    share = "" if answer["share"] is None else f"{answer['share']:.0%} ({answer['share_basis']})"
    mark = "" if right(row) else " **wrong**"
    return [
        row["case"],
        row["dose"] if score.is_planted(row) else row["kind"],
        ", ".join(row["expect"]),
        score.said(row) + mark + (f" ({score.alarm(row)})" if mark and not score.is_planted(row) else ""),
        share,
        ""
        if truth is None
        else f"{1 - 1 / truth['speedup']:.0%} ({1 - 1 / truth['low']:.0%} to {1 - 1 / truth['high']:.0%})",
        *(row[name]["text"] if row.get(name) else "" for name in RIVALS),
        f"{answer['after_start_s']:.0f} s",
    ]
