"""What is kept of each dose of each case, so that a gauntlet can be interrupted and judged anew.

``.gauntlet/CASE.DOSE/`` holds the run directory, the truth and the rivals' answers; a file stands for its
stage, and is made again where the case changed since. ``results.json`` beside this file is what RESULTS.md shows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import diagnosing, truth
from .case import Case
from .environments import interpreter
from .rivals import naive, traceml

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".gauntlet"
# A chart can't tell these apart, and nobody holds that against it here.
COVERED = {
    "dataloader": ("dataloader", "cpu_preprocessing", "storage"),
    "compute": ("compute", "memory_bandwidth"),
}
# Cores that other programs, or other machines on the same host, may have while a case is diagnosed: with a fifth of one
# of two, times are still within the noise of a shared machine; with one of two, what computes takes twice as long and
# what sleeps does not.
DISTURBED = 0.2
TRACEML_S = 10.0  # seconds of steps: it sums up at the end of the script
Stage = Callable[[], dict[str, Any]]


def folder(case: Case, dose: str) -> Path:
    """Return the folder of a dose of a case; it need not exist."""
    return BUILD / f"{case.name}.{dose}"


def stamp(case: Case, dose: str) -> str:
    """Return what tells one version of a case from another."""
    digest = hashlib.sha256(
        json.dumps([case.doses[dose], case.fixed, case.ranks, dict(case.environment)]).encode()
    )
    for file in sorted({*case.script.parent.glob("clock.py"), case.script, case.fixed_script}):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class NotRun(Exception):
    """A stage that was not asked for has not been run on this version of the case."""


def kept(path: Path, case: Case, dose: str, again: bool | None, make: Stage) -> dict[str, Any]:
    """Return what ``path`` holds about this version of the case, or make and keep it.

    Args:
        path: The stage's file.
        case: The case.
        dose: Which of its doses.
        again: Make it anew even so; None never makes it.
        make: What makes it.

    Raises:
        NotRun: ``again`` is None and there is nothing to return.
    """
    version = stamp(case, dose)
    if path.exists() and not again:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["version"] == version:
            return found
    if again is None:
        raise NotRun("not run")
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {"version": version, **make()}
    path.write_text(json.dumps(made), encoding="utf-8")
    return made


def diagnosed(case: Case, dose: str, again: bool | None) -> dict[str, Any]:
    """Return the answer of the tool, and what plain charts of the same run say.

    The record is kept, and judged anew by today's rules.
    """
    here = folder(case, dose)

    def run() -> dict[str, Any]:
        shutil.rmtree(here / "run", ignore_errors=True)
        return {"wall_s": diagnosing.diagnose(case, case.doses[dose], interpreter(case), here / "run")}

    found = kept(here / "diagnosed.json", case, dose, again, run)
    report = diagnosing.judged(here / "run")
    answer = diagnosing.answer(report, found["wall_s"])
    if (answer["foreign_cores"] or 0) > DISTURBED and not case.disturbed:
        (here / "diagnosed.json").unlink()  # the next run of the gauntlet measures it again
        raise NotRun(f"disturbed: others had {answer['foreign_cores']:.1f} cores")
    return {
        "answer": answer,
        "phase": chart(naive.largest_phase(report)),
        "operator": chart(naive.largest_operator(naive.traced(here / "run"))),
    }


def chart(claim: naive.Claim | None) -> dict[str, Any] | None:
    """Return what a chart says in the form of a rival's answer."""
    if claim is None:
        return None
    return {
        "leaves": COVERED.get(claim.bottleneck, (claim.bottleneck,)),
        "text": f"{claim.read} {claim.share:.0%}",
    }


def true(case: Case, dose: str, again: bool | None) -> dict[str, Any]:
    """Return what the fix really gains."""
    python = interpreter(case)
    words = case.doses[dose]
    given = [python, *diagnosing.command(case.script, words, case.ranks)]
    fixed = [python, *diagnosing.command(case.fixed_script, (*words, *case.fixed), case.ranks)]

    def run() -> dict[str, Any]:
        return asdict(truth.measure(given, fixed, case.environment, case.warm_s))

    return kept(folder(case, dose) / "truth.json", case, dose, again, run)


def proved(case: Case, dose: str, again: bool | None) -> dict[str, Any]:
    """Return what a trial of the advice that does what the fix does found, tried on a copy of the record."""
    here = folder(case, dose)

    def run() -> dict[str, Any]:
        shutil.rmtree(here / "proved", ignore_errors=True)
        shutil.copytree(here / "run", here / "proved")
        return diagnosing.prove(here / "proved", str(case.override), case.environment)

    return kept(here / "proved.json", case, dose, again, run)


def tuned(case: Case, dose: str, again: bool | None) -> dict[str, Any]:
    """Return the fastest recipe that the tool finds by itself, and its speedup."""
    here = folder(case, dose)

    def run() -> dict[str, Any]:
        shutil.rmtree(here / "tune", ignore_errors=True)
        return diagnosing.tune(case, case.doses[dose], interpreter(case), here / "tune")

    return kept(here / "tuned.json", case, dose, again, run)


def row(case: Case, dose: str, stages: set[str], again: bool) -> dict[str, Any]:
    """Return everything about a dose of a case, running those of ``stages`` that are missing."""
    made: dict[str, Any] = {
        "case": case.name, "dose": dose, "version": stamp(case, dose),
        "kind": case.kind, "what": case.what, "structure": case.structure,
        "expect": case.expect, "then": case.then, "override": case.override,
        "partial": case.partial,
    }  # fmt: skip
    made.update(diagnosed(case, dose, again if "diagnose" in stages else None))
    for stage, name, run, wanted in (
        ("truth", "truth", true, case.kind != "healthy"),
        ("prove", "trial", proved, case.override is not None),
        ("tune", "tuned", tuned, case.override is not None),
        ("traceml", "traceml", rival, not case.requires),
    ):
        if wanted:
            with contextlib.suppress(NotRun, truth.Disturbed):
                made[name] = run(case, dose, again if stage in stages else None)
    return made


def rival(case: Case, dose: str, again: bool | None) -> dict[str, Any]:
    """Return what TraceML says of the case."""

    def run() -> dict[str, Any]:
        told = traceml.of_case(case, dose, TRACEML_S)
        leaves = (*told.leaves, "healthy") if told.healthy else told.leaves
        share = "" if told.share is None else f" {told.share:.0%}"
        return {"leaves": leaves, "text": f"{told.kind.replace('_', '-')}{share}"}

    return kept(folder(case, dose) / "traceml.json", case, dose, again, run)
