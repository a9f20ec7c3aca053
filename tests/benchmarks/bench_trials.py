"""How right trials are where nothing changes: equal runs, and overrides that find nothing to change.

``PARTS=equal,cost`` chooses; ``EQUAL=20`` sets how many equal trials, ``COST_PAIRS=8`` how many pairs. Trials of real
fixes against scripts fixed by hand are part of the gauntlet (``make gauntlet STAGES=diagnose,truth,prove``).
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path


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
    parts = os.environ.get("PARTS", "equal,cost").split(",")
    if "equal" in parts:
        equal(int(os.environ.get("EQUAL", "20")))
    if "cost" in parts:
        cost()


if __name__ == "__main__":
    main()
