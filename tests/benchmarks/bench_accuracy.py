"""How right the diagnosis is on the examples: verdict, and its share against what removing the cause gains.

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
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "planted"))


def diagnose(script: Path) -> dict[str, Any]:
    """Return the report of one run of ``script`` with default options."""
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
    print("| example | expected | verdict | share | gain of the fix (pairs) | off by | other load |")
    print("|---|---|---|---|---|---|---|", flush=True)
    right = 0
    chosen = [f for f in folders if wanted is None or f.name in wanted.split(",")]
    for folder in chosen:
        expected = yaml.safe_load((folder / "expected.yaml").read_text(encoding="utf-8"))
        report = diagnose(folder / "train.py")
        psutil.cpu_percent()
        truth = measure(folder, pairs, steps, 20)
        right += row(folder.name, expected, report, truth)
    print(f"\n{right} of {len(chosen)} verdicts right")


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
    print(
        f"| {name} | {expected['bottleneck']} | {said} | {share:.0%} | {gain:.0%} ({low:.0%} to {high:.0%}) "
        f"| {(share - gain) * 100:+.0f} | {load} |",
        flush=True,
    )
    return ok


if __name__ == "__main__":
    main()
