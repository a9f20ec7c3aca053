"""How right trials are: equal runs, causes whose fix is an override against the script fixed by hand, and what tune
reaches. ``PARTS=equal,examples,cost`` chooses, ``EXAMPLES=gc,storage`` too; ``EQUAL=20`` sets how many equal trials.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "planted"))

# Examples whose fix is a setting that an override can make, and the advice that names it.
OVERRIDES = {
    "dataloader": "dl_persistent_workers",
    "storage": "dl_workers",
    "optimizer": "fused_optimizer",
    "gc": "gc_freeze",
    "compilation": "compile_dynamic_shapes",
}
_BUDGET = "6m"


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in ``folder``."""
    return subprocess.run(
        [sys.executable, "-m", "trainbottleneck", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def report_of(folder: Path) -> dict[str, Any]:
    """Return the report in ``folder``."""
    found: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    return found


def equal(number: int) -> None:
    """Print the verdicts of trials that change nothing."""
    from trainbottleneck.collect.target import resolve
    from trainbottleneck.collect.trials import Candidate, Known, Trials

    script = Path(__file__).parent / "trial_script.py"
    known = Known(step_s=0.008, start_s=4.0)
    states: dict[str, int] = {}
    speedups, pairs = [], 0
    for seed in range(number):
        with tempfile.TemporaryDirectory() as folder:
            wanted = [Candidate(mitigations=("nothing",), changes=())]
            trials = Trials(
                resolve(None, [str(script)], None), Path(folder) / "t", wanted, known, 3600.0, seed
            )
            trials.run(lambda progress, task: None, lambda found: None)
            (trial,) = trials.trials()
        states[trial.state] = states.get(trial.state, 0) + 1
        pairs += trial.pairs
        if trial.speedup is not None:
            speedups.append(trial.speedup.likely)
        print(
            f"{seed}: {trial.state} {trial.speedup} {trial.pairs} pairs {dict(trial.dropped)}",
            file=sys.stderr,
        )
    print(f"{number} trials of equal runs: {states}, {pairs / number:.1f} pairs each")
    print(f"speedups between {min(speedups):.3f} and {max(speedups):.3f}")


def examples() -> None:
    """Print, for each example whose fix is an override, what the trial measured beside the fixed script."""
    from bench_accuracy import endless
    from measure_gain import measure

    wanted = os.environ.get("EXAMPLES")
    print("| example | advice | predicted | trial | losses | fixed script | trial over fixed |")
    print("|---|---|---|---|---|---|---|", flush=True)
    errors = []
    for name, advice in OVERRIDES.items():
        if wanted is not None and name not in wanted.split(","):
            continue
        folder = ROOT / "examples" / name
        with tempfile.TemporaryDirectory() as work:
            where = Path(work)
            options = ["--no-experiments", "--quiet", "-o", "run", str(folder / "train.py"), *endless(folder)]
            done = command(where, "diagnose", *options)
            tried = command(where, "prove", "run", "--only", advice, "--budget", _BUDGET)
            report = report_of(where)
            said = (done.stderr + tried.stderr).strip().splitlines()[-1:]
        truth = measure(folder, 3, 60, 20)
        errors += row(name, advice, report, truth, said)
    if errors:
        print(f"\npredicted against measured: median error {statistics.median(errors):.0%} of {len(errors)}")


def row(
    name: str, advice: str, report: dict[str, Any], truth: dict[str, Any], said: list[str]
) -> list[float]:
    """Print one row; return the error of the prediction, where there was one."""
    entry = next((one for one in report["mitigations"] if one["id"] == advice), None)
    fixed = truth["train"]["mean_s"] / truth["fixed"]["mean_s"]
    if entry is None or entry["trial"] is None or entry["trial"]["speedup"] is None:
        reason = entry["trial"]["reason"] if entry and entry["trial"] else " ".join(said)
        print(f"| {name} | {advice} | - | {reason} | - | {fixed:.2f}x | - |", flush=True)
        return []
    trial, predicted = entry["trial"], entry["predicted"]
    found = trial["speedup"]
    interval = f"{found['low']:.2f} to {found['high']:.2f}, {trial['pairs']} pairs"
    print(
        f"| {name} | {advice} | {'-' if predicted is None else format(predicted['likely'], '.2f') + 'x'} "
        f"| {trial['state']} {found['likely']:.2f}x ({interval}) "
        f"| {(trial['losses'] or {}).get('relation', '-')} | {fixed:.2f}x | {found['likely'] / fixed:.2f} |",
        flush=True,
    )
    return [] if predicted is None else [abs(predicted["likely"] / found["likely"] - 1)]


def cost() -> None:
    """Print what overrides without effect cost: steps with all of them over steps with none, in pairs."""
    from trainbottleneck.collect.target import resolve
    from trainbottleneck.collect.trials import Candidate, Known, Trials
    from trainbottleneck.model.trial import Change
    from trainbottleneck.verify.protocol import Task

    script = Path(__file__).parent / "trial_script.py"
    # what this script already has, or what does not fit it: nothing changes but for the patches that look
    idle = {
        "loader": {"in_order": 1.0},
        "optimizer": {"foreach": 0.0},
        "zero_grad": {"set_to_none": 1.0},
        "checkpointing": {"off": 1.0},
        "sdpa": {"efficient": 1.0},
        "eval_no_grad": {},
        "no_sync": {},
        "ddp": {"static_graph": 1.0},
    }
    changes = tuple(Change(mitigation=name, override=name, settings=each) for name, each in idle.items())
    number = int(os.environ.get("COST_PAIRS", "8"))
    with tempfile.TemporaryDirectory() as folder:
        wanted = [Candidate(mitigations=("idle",), changes=changes)]
        target = resolve(None, [str(script)], None)
        trials = Trials(target, Path(folder) / "t", wanted, Known(step_s=0.008, start_s=4.0), 3600.0)
        found = []
        for seed in range(number):
            task = Task(candidate="idle", arm_first=bool(seed % 2), padding=(0, 0), seed=seed)
            result = trials._pair(task)
            if result.base_s and result.arm_s:
                found.append(result.arm_s / result.base_s)
    found.sort()
    print(
        f"overrides without effect: step {statistics.median(found):.4f} of one without them, median of {len(found)}"
    )
    print(f"pairs between {found[0]:.4f} and {found[-1]:.4f}")


def main() -> None:
    """Run the parts chosen."""
    parts = os.environ.get("PARTS", "equal,examples,cost").split(",")
    if "equal" in parts:
        equal(int(os.environ.get("EQUAL", "20")))
    if "examples" in parts:
        examples()
    if "cost" in parts:
        cost()


if __name__ == "__main__":
    main()
