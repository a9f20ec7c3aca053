"""One case under the tool, and what its report answered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainbottleneck import rulebook
from trainbottleneck.analyze.ranks.condense import Condenser
from trainbottleneck.diagnosis import diagnose as make_report
from trainbottleneck.model.report import FAMILY_OF
from trainbottleneck.render import json_report
from trainbottleneck.store import load

from .case import Case
from .truth import Disturbed

LIMIT_S = 300.0
TUNE = "12m"
PROVE = "4m"  # budget of a trial: 20 pairs of processes of 6 seconds
OWN_START = ("start of Python and its imports", "building data, model and loop")
PRICED = (
    "trial",
    "ceiling",
    "simulation",
    "bracket",
)  # what this run itself measured; the rest is literature


class Failed(Exception):
    """The tool did not end with a report."""


def command(script: Path, arguments: Sequence[str], ranks: int) -> list[str]:
    """Return the words after ``python`` that start a case."""
    if ranks == 1:
        return [str(script), *arguments]
    return [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(ranks),
        str(script),
        *arguments,
    ]


def diagnose(case: Case, arguments: Sequence[str], python: str, folder: Path) -> float:
    """Run the whole command with its default options; the record and the report are in ``folder``; return seconds."""
    words = [sys.executable, "-m", "trainbottleneck", "diagnose", "--quiet", "-o", str(folder)]
    if python != sys.executable:
        words += ["--python", python]
    target = command(case.script, arguments, case.ranks)
    start = time.monotonic()
    done = subprocess.run(
        [*words, *target], cwd=folder.parent, env={**os.environ, **case.environment},
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    if not (folder / "report.json").exists():
        raise Failed(f"{case.name}: code {done.returncode}\n{done.stderr[-2000:]}")
    return time.monotonic() - start


def prove(run: Path, mitigation: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Try one mitigation; return state, speedup and pairs of its trial, and what was said where there is none."""
    words = [
        sys.executable,
        "-m",
        "trainbottleneck",
        "prove",
        str(run),
        "--only",
        mitigation,
        "--budget",
        PROVE,
    ]
    done = subprocess.run(
        [*words, "--quiet"], env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = json.loads((run / "report.json").read_text(encoding="utf-8"))["trials"]
    trial = next((one for one in found if mitigation in one["mitigations"]), None)
    if trial is None:
        raise Disturbed(f"no pair counted {done.stderr.strip()[-300:]}")
    if trial["state"] == "UNDECIDED":
        _refuse_disturbed([trial])
    return {key: trial[key] for key in ("state", "speedup", "pairs", "reason", "seconds")}


def tune(case: Case, arguments: Sequence[str], python: str, folder: Path) -> dict[str, Any]:
    """Search the fastest recipe; return its mitigations and its proved speedup over the script as it is."""
    words = [sys.executable, "-m", "trainbottleneck", "tune", "--quiet", "--budget", TUNE, "-o", str(folder)]
    if python != sys.executable:
        words += ["--python", python]
    target = command(case.script, arguments, case.ranks)
    start = time.monotonic()
    done = subprocess.run(
        [*words, *target], cwd=folder.parent, env={**os.environ, **case.environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Failed(f"{case.name}: code {done.returncode}\n{done.stderr[-2000:]}")
    return {**_total(folder), "seconds": time.monotonic() - start}


def _total(folder: Path) -> dict[str, Any]:
    """Return the recipe that a search left, and what the trial of the whole of it measured."""
    trials = json.loads((folder / "trials.json").read_text(encoding="utf-8"))["trials"]
    if not (folder / "recipe.json").exists():
        _refuse_disturbed(trials)
        return {"mitigations": [], "speedup": 1.0}
    recipe = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))["changes"]
    wanted = list(dict.fromkeys(change["mitigation"] for change in recipe))
    whole = [one for one in trials if set(one["mitigations"]) == set(wanted)]
    return {"mitigations": wanted, "speedup": whole[-1]["speedup"]["likely"]}


def _refuse_disturbed(trials: Sequence[Mapping[str, Any]]) -> None:
    """Raise Disturbed where at least as many pairs did not count as did: then nothing proved says nothing."""
    counted, dropped = (
        sum(one["pairs"] for one in trials),
        sum(sum(one["dropped"].values()) for one in trials),
    )
    if dropped and dropped >= counted:
        raise Disturbed(f"{dropped} of {counted + dropped} pairs were disturbed")


def judged(folder: Path) -> dict[str, Any]:
    """Return the report of the record in ``folder`` as today's rules and analyses make it."""
    report = make_report(load(folder, Condenser()), rulebook.load([rulebook.shipped()]))
    return dict(json.loads(json_report.render(report)))


def _taken_cores(measured: Mapping[str, Any]) -> float | None:
    """Return how many cores other programs and, through the hypervisor, other machines had; None if not measured."""
    foreign, stolen, cores = (
        measured.get(f"host.{name}", {}).get("value")
        for name in ("foreign_cores", "steal_frac", "usable_cores")
    )
    return None if foreign is None else float(foreign + (stolen or 0.0) * (cores or 0.0))


def answer(report: Mapping[str, Any], wall_s: float) -> dict[str, Any]:
    """Return what counts of a report: verdict, ranking, claims, ceilings, times."""
    verdict = report["verdict"]
    own = sum(line["seconds"] for line in report["run"]["account"] if line["name"] in OWN_START)
    step = report["step"]
    return {
        "bottleneck": verdict["bottleneck"],
        "state": verdict["state"],
        "result": verdict["result"],
        "share": verdict["share"],
        "share_basis": verdict["share_basis"],
        "confidence": verdict["confidence"],
        "headline": verdict["headline"],
        "ranking": ranking(report),
        "claims": [claim(row) for row in report["mitigations"] if row["speedup"]],
        "ceilings": {  # step without the resource over the step with it, in turn
            row["resource"]: row["without_s"] / row["step_s"]
            for row in report["ceilings"]
            if row["state"] == "measured" and row["step_s"]
        },
        "phases": {row["phase"]: row["share"] for row in step["phases"]} if step else {},
        "step_s": step["seconds"]["mean"] if step else None,
        "after_start_s": wall_s - own,
        "foreign_cores": _taken_cores(report["measurements"]),
    }


def ranking(report: Mapping[str, Any]) -> list[str]:
    """Return bottlenecks, the verdict's first, then those of the other findings in their order."""
    found = [row["bottleneck"] for row in report["findings"] if row["state"] == "fires"]
    return list(dict.fromkeys(leaf for leaf in (report["verdict"]["bottleneck"], *found) if leaf))


def claim(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a piece of advice promises."""
    keys = ("id", "bottleneck", "speedup", "basis", "next_wall")
    return {key: row[key] for key in keys}


def families(leaves: Sequence[str]) -> set[str]:
    """Return the families of ``leaves``."""
    return {FAMILY_OF[leaf] for leaf in leaves}
