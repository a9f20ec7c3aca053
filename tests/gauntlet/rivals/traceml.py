"""TraceML (PyPI: traceml-ai) on a case, run as its documentation says, in an environment of its own.

    python -m tests.gauntlet.rivals.traceml [--seconds 10] CASE...

prints one line of JSON per case. Its verdicts are read generously: a verdict counts for every bottleneck that its
documentation sends the reader to. One run at a time, as with anything that is timed.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from ..case import Case, cases
from ..environments import environment
from .annotate import annotated

# TraceML as of this release, and what the cases and examples import. A bare torch would bring gigabytes of CUDA.
REQUIRED = (
    "torch==2.13.0",
    "traceml-ai==0.5.0",
    "numpy",
    "pillow",
    "scikit-image",
    "scikit-learn",
    "tensorboard",
)
# What each kind of verdict covers: where its README ("What TraceML diagnoses") tells the reader to look.
COVERS = {
    "INPUT_BOUND": ("dataloader", "cpu_preprocessing", "storage"),
    "H2D_BOUND": ("h2d_transfer",),
    "RESIDUAL_HEAVY": (
        "sync",
        "host_overhead",
        "gc",
        "logging",
        "checkpoint",
        "evaluation",
        "compilation",
    ),
    "COMPUTE_BOUND": ("compute", "memory_bandwidth", "optimizer"),
    "INPUT_STRAGGLER": ("straggler",),
    "COMPUTE_STRAGGLER": ("straggler",),
    "H2D_STRAGGLER": ("straggler",),
    "STRAGGLER": ("straggler",),
}
# COMPUTE_BOUND is "informational when no material overhead is visible" (its DIAGNOSIS.md): what it says of the healthy.
HEALTHY = ("COMPUTE_BOUND", "BALANCED", "NO_CLEAR_PERFORMANCE_BOTTLENECK", "LOW_GPU_UTILIZATION_UNEXPLAINED")
FAILED = "FAILED"
LIMIT_S = 180.0  # a run of some 10 s of steps that is not over by then hangs


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What TraceML said of one training.

    Attributes:
        kind: Of its primary diagnosis, as in final_summary.json; ``FAILED`` where there is none.
        severity: crit, warn or info.
        leaves: Bottlenecks it covers, none where it names none.
        healthy: Whether it is what it says of a training without a bottleneck.
        share: Of the step that it attributes to that, None where it gives none.
        text: Its reason and its advice; of a failed run the last lines it printed.
        seconds: From start to verdict.
    """

    kind: str
    severity: str
    leaves: tuple[str, ...]
    healthy: bool
    share: float | None
    text: str
    seconds: float


def python_with(more: Sequence[str] = ()) -> Path:
    """Return the Python of TraceML's environment, made if need be, with what a case requires besides."""
    return environment((*REQUIRED, *more))


def run(
    script: Path,
    arguments: Sequence[str] = (),
    steps: int = 100,
    ranks: int = 1,
    variables: Mapping[str, str] | None = None,
    python: Path | None = None,
) -> Verdict:
    """Run ``traceml run`` on a copy of the script with its lines put in, to the end of ``steps`` steps."""
    python = python or python_with()
    with tempfile.TemporaryDirectory(prefix="traceml-") as folder:
        copied = copy(script, Path(folder) / "copy")
        logs = Path(folder) / "logs"
        begun = time.monotonic()
        told = _finished(
            [*_command(python, copied, logs, ranks), "--args", *arguments, "--steps", str(steps)],
            {**os.environ, **(variables or {})},
            copied.parent,
        )
        return _verdict(logs / "run" / "final_summary.json", told, time.monotonic() - begun)


def summary(found: Mapping[str, Any], seconds: float = 0.0) -> Verdict:
    """Return what a final_summary.json says."""
    told = found.get("primary_diagnosis") or {}
    kind = str(told.get("kind") or FAILED)
    score = (told.get("evidence") or {}).get("score")
    return Verdict(
        kind=kind,
        severity=str(told.get("severity") or "info"),
        leaves=COVERS.get(kind, ()),
        healthy=kind in HEALTHY,
        share=float(score) if isinstance(score, int | float) else None,
        text=" ".join(str(told[key]) for key in ("summary", "action") if told.get(key)),
        seconds=seconds,
    )


def copy(script: Path, into: Path) -> Path:
    """Copy the script's folder, with TraceML's lines in the script, and link what lies beside the folder.

    Where the script itself has no training loop, the modules of its folder that it imports are looked at.
    """
    folder = into / script.parent.name
    shutil.copytree(script.parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for beside in script.parent.parent.iterdir():
        if beside.name not in (script.parent.name, "__pycache__"):
            (into / beside.name).symlink_to(beside)
    copied = folder / script.name
    for path in (copied, *_imported(copied)):
        source = path.read_text(encoding="utf-8")
        changed = annotated(source)
        if changed != source:
            path.write_text(changed, encoding="utf-8")
            break
    return copied


def _imported(script: Path) -> list[Path]:
    """Return the modules beside the script that it imports."""
    names: list[str] = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return [path for name in names if (path := script.parent / f"{name}.py").exists()]


def _command(python: Path, script: Path, logs: Path, ranks: int) -> list[str]:
    """Return the command without the script's arguments. Its own ports are fixed: two free ones instead."""
    aggregator, master = _free_ports(2)
    return [
        str(python.parent / "traceml"),
        *("run", "--mode", "summary", "--logs-dir", str(logs), "--run-name", "run"),
        *("--aggregator-port", str(aggregator), "--master-port", str(master)),
        *("--nproc-per-node", str(ranks), str(script)),
    ]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _finished(command: Sequence[str], variables: Mapping[str, str], folder: Path) -> str:
    """Run a command to its end, or stop it and all it started at the limit; return the end of what it printed."""
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        told, _ = child.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        stop(child)
        return f"stopped after {LIMIT_S:.0f} s"
    return told[-600:]


def stop(child: subprocess.Popen[Any]) -> None:
    """End a process and all below it, torchrun's ranks too, which are sessions of their own."""
    if child.poll() is not None:
        return
    root = psutil.Process(child.pid)
    family = [root, *root.children(recursive=True)]
    root.terminate()
    for process in psutil.wait_procs(family, timeout=10)[1]:
        process.kill()
    child.wait()


def _verdict(path: Path, told: str, seconds: float) -> Verdict:
    if path.exists():
        return summary(json.loads(path.read_text(encoding="utf-8")), seconds)
    return Verdict(
        kind=FAILED, severity="info", leaves=(), healthy=False, share=None, text=told, seconds=seconds
    )


def of_case(case: Case, dose: str, seconds: float) -> Verdict:
    """Run TraceML on a case for about so many seconds of steps."""
    python = python_with(case.requires)
    arguments = case.doses[dose]
    steps = max(20, round(seconds / _step_seconds(case, arguments, python)))
    return run(case.script, arguments, steps, case.ranks, case.environment, python)


def _step_seconds(case: Case, arguments: Sequence[str], python: Path) -> float:
    """Return the mean step time, from two seconds of the plain script after its warm-up."""
    with tempfile.TemporaryDirectory(prefix="traceml-") as folder:
        timing = Path(folder) / "timing"
        ranks = (
            ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={case.ranks}"]
            if case.ranks > 1
            else []
        )
        command = [str(python), *ranks, str(case.script), *arguments, "--timing", str(timing)]
        child = subprocess.Popen(
            command,
            env={**os.environ, **case.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return _until_enough(child, timing, case.warm_s)
        finally:
            stop(child)


def _until_enough(child: subprocess.Popen[Any], timing: Path, warm_s: float) -> float:
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        time.sleep(0.2)
        laps = _laps(timing, warm_s)
        if len(laps) > 2 and (laps[-1] - laps[0] > 2.0 or child.poll() is not None):
            return (laps[-1] - laps[0]) / (len(laps) - 1)
    raise RuntimeError(f"{timing}: no steps within a minute")


def _laps(timing: Path, warm_s: float) -> list[float]:
    """Return the times after each step beyond the warm-up; the last line may be half written."""
    lines = timing.read_text(encoding="utf-8").splitlines()[:-1] if timing.exists() else []
    times = [float(line.split()[0]) for line in lines]
    return [one for one in times if one - times[0] >= warm_s]


def main() -> None:
    parser = argparse.ArgumentParser(description="Run TraceML on cases of the gauntlet.")
    parser.add_argument("cases", nargs="+", metavar="CASE")
    parser.add_argument("--dose", default="strong")
    parser.add_argument("--seconds", type=float, default=10.0, help="of steps per case")
    args = parser.parse_args()
    for case in cases(args.cases):
        verdict = of_case(case, args.dose, args.seconds)
        print(json.dumps({"case": case.name, **asdict(verdict)}), flush=True)


if __name__ == "__main__":
    main()
