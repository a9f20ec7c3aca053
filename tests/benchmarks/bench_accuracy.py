"""How right the diagnosis is on the examples: verdict, its share against what removing the cause gains, and the
step measured with the cause's resource taken away against the step of the script without the cause.

Diagnosis and truth are measured in turn on the same machine: train.py under the tool, then train.py and fixed.py
in pairs without it (``tests/planted/measure_gain.py``). ``EXAMPLES=gc,storage`` chooses; ``PAIRS`` and ``STEPS``
set how long the truth is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "planted"))

# What is taken away to see what the planted cause costs.
RESOURCE = {
    "dataloader": "input",
    "cpu_preprocessing": "input",
    "storage": "input",
    "logging": "logging",
    "checkpoint": "checkpoint",
    "evaluation": "evaluation",
    "gc": "gc",
}


def diagnose(script: Path, options: Sequence[str]) -> dict[str, Any]:
    """Return the report of one run of ``script`` with our default options, and ``options`` of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [
            sys.executable,
            "-m",
            "trainbottleneck",
            "diagnose",
            "--quiet",
            "-o",
            str(out),
            str(script),
            *options,
        ]
        subprocess.run(command, check=True, capture_output=True, cwd=folder)
        report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
        return report


def main() -> None:
    """Print the table; a share is right within 10 points of the gain."""
    from measure_gain import measure

    wanted = os.environ.get("EXAMPLES")
    pairs, steps = int(os.environ.get("PAIRS", "2")), int(os.environ.get("STEPS", "80"))
    folders = sorted(path.parent for path in (ROOT / "examples").glob("*/expected.yaml"))
    print(
        "| example | expected | verdict | share (from) | gain of the fix (pairs) | off by "
        "| step without the resource | step of the fix | off by | experiments | other load |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    right = 0
    errors: list[float] = []
    chosen = [f for f in folders if wanted is None or f.name in wanted.split(",")]
    for folder in chosen:
        expected = yaml.safe_load((folder / "expected.yaml").read_text(encoding="utf-8"))
        report = diagnose(folder / "train.py", endless(folder))
        psutil.cpu_percent()
        truth = measure(folder, pairs, steps, 20)
        right += row(folder.name, expected, report, truth)
        error = ceiling(expected, report, truth)[1]
        errors += [] if error is None else [abs(error)]
    print(f"\n{right} of {len(chosen)} verdicts right")
    if errors:
        middle, high = (percentile(errors, part) for part in (0.5, 0.9))
        print(f"{len(errors)} ceilings: median error {middle:.0%}, 90th percentile {high:.0%}")


def percentile(values: list[float], part: float) -> float:
    """Return the value that ``part`` of ``values`` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(part * (len(ordered) - 1)))]


def ceiling(
    expected: dict[str, Any], report: dict[str, Any], truth: dict[str, Any]
) -> tuple[dict[str, Any], float | None]:
    """Return the row of the cause's resource, and its step over the fixed script's, minus one, where measured."""
    resource = RESOURCE.get(expected["bottleneck"])
    row = next((row for row in report["ceilings"] if row["resource"] == resource), {})
    without = row.get("without_s")
    if row.get("state") != "measured" or not without or expected.get("healthy"):
        return row, None
    return row, without / truth["fixed"]["mean_s"] - 1


def endless(folder: Path) -> list[str]:
    """Return the options with which an example trains on until it is stopped, as trainings do."""
    if folder.name == "compilation":  # compiling costs a short run most
        return []
    common = folder / "common.py"
    text = (common if common.exists() else folder / "train.py").read_text(encoding="utf-8")
    return [
        word for option in ("--steps", "--epochs") if f'"{option}"' in text for word in (option, "100000")
    ]


def experiments_s(report: dict[str, Any]) -> float:
    """Return how long the experiments took."""
    return float(sum(line["seconds"] for line in report["run"]["account"] if line["name"] == "experiments"))


def row(name: str, expected: dict[str, Any], report: dict[str, Any], truth: dict[str, Any]) -> bool:
    """Print one line and return whether the verdict is right."""
    verdict = report["verdict"]
    wanted = [expected["bottleneck"], *(expected.get("also_accept") or [])]
    ok = verdict["bottleneck"] in wanted
    healthy = verdict["state"] == "healthy"
    share = 0.0 if healthy else (verdict["share"] or 0.0)
    gain, (low, high) = truth["gain"], truth["gain_range"]
    foreign = report["measurements"].get("host.foreign_cores", {}).get("value")
    load = "?" if foreign is None else f"{foreign:.2f}"
    said = f"{verdict['bottleneck']}{' (healthy)' if healthy else ''}{'' if ok else ' WRONG'}"
    found, error = ceiling(expected, report, truth)
    without = f"{found['without_s'] * 1e3:.1f} ms" if found.get("without_s") else found.get("reason") or "-"
    off = "-" if error is None else f"{error:+.0%}"
    basis = "" if healthy else f" ({verdict['share_basis']})"
    print(
        f"| {name} | {expected['bottleneck']} | {said} | {share:.0%}{basis} | {gain:.0%} ({low:.0%} to {high:.0%}) "
        f"| {(share - gain) * 100:+.0f} | {without} | {truth['fixed']['mean_s'] * 1e3:.1f} ms | {off} "
        f"| {experiments_s(report):.0f} s | {load} |",
        flush=True,
    )
    return ok


if __name__ == "__main__":
    main()
