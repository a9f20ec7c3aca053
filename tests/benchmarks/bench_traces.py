"""Reading traces: time, memory and values beside HolisticTraceAnalysis, and a synthetic trace of any size.

    BOTTLENECK_TRACES=folder BOTTLENECK_HTA_PYTHON=/venv/bin/python python tests/benchmarks/bench_traces.py
    python tests/benchmarks/bench_traces.py --synthetic 1000

The first reads every trace of the folder with both, each in fresh processes by turns, and prints one JSON object:
seconds for load plus temporal breakdown (imports apart), peak memory, values. HolisticTraceAnalysis lives in an
environment of its own. The second writes a trace of so many MB and reports on it through the command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_OURS = """
import json, resource, sys, time
from pathlib import Path
from trainbottleneck.analyze.device_time import temporal
from trainbottleneck.ingest import load_traces
begun = time.perf_counter()
record = load_traces([Path(sys.argv[1])])
found = temporal(record.processes[0].device)
took = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
values = {name: ns / 1000 for name, ns in found.items()}
print(json.dumps({"seconds": took, "peak_bytes": peak, "values_us": values}))
"""
_THEIRS = """
import json, logging, os, resource, shutil, sys, tempfile, time
logging.disable(logging.CRITICAL)
from hta.trace_analysis import TraceAnalysis
folder = tempfile.mkdtemp()
path = shutil.copy(sys.argv[1], folder)
os.chmod(path, 0o644)
begun = time.perf_counter()
analysis = TraceAnalysis(trace_files={0: path}, trace_dir=folder, include_last_profiler_step=True)
row = analysis.get_temporal_breakdown(visualize=False).iloc[0]
took = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
share = float(analysis.get_comm_comp_overlap(visualize=False).comp_comm_overlap_pctg.iloc[0])
shutil.rmtree(folder)
values = {"span": float(row["kernel_time(us)"]), "idle": float(row["idle_time(us)"])}
values |= {"compute": float(row["compute_time(us)"]), "other": float(row["non_compute_time(us)"])}
values |= {"overlap_percent": share if share == share else None}
print(json.dumps({"seconds": took, "peak_bytes": peak, "values_us": values}))
"""
_TURNS = 3


def main() -> None:
    """Print the comparison, or the figures of a synthetic trace."""
    if sys.argv[1:2] == ["--synthetic"]:
        print(json.dumps(synthetic(int(sys.argv[2])), indent=1))
        return
    theirs = os.environ["BOTTLENECK_HTA_PYTHON"]
    found = {}
    for path in sorted(Path(os.environ["BOTTLENECK_TRACES"]).glob("*.json*")):
        rows: dict[str, list[dict[str, object]]] = {"ours": [], "hta": []}
        for _ in range(_TURNS):
            rows["ours"].append(_child(sys.executable, _OURS, path))
            rows["hta"].append(_child(theirs, _THEIRS, path))
        best = {who: min(runs, key=lambda run: float(str(run["seconds"]))) for who, runs in rows.items()}
        ratio = {
            f"{what}_ratio": float(str(best["hta"][what])) / float(str(best["ours"][what]))
            for what in ("seconds", "peak_bytes")
        }
        found[path.name] = {**best, **ratio}
    print(json.dumps(found, indent=1))


def _child(python: str, code: str, path: Path) -> dict[str, object]:
    """Return what a fresh process printed in its last line."""
    done = subprocess.run(
        [python, "-W", "ignore", "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    result: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return result


def synthetic(megabytes: int) -> dict[str, float]:
    """Return size, seconds and peak memory of `bottleneck report` on a trace of about ``megabytes``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "synthetic.json"
        events = write(path, megabytes << 20)
        begun = time.perf_counter()
        command = [sys.executable, "-m", "trainbottleneck", "report", str(path), "-o", folder]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - begun
        size = path.stat().st_size
    assert child.returncode == 0, child.returncode
    return {
        "bytes": size,
        "events": events,
        "seconds": took,
        "peak_bytes": usage.ru_maxrss * 1024,
        "exit_code": child.returncode,
    }


def write(path: Path, size: int) -> int:
    """Write a trace of at least ``size`` bytes, laid out as Kineto does, and return its number of events."""
    count, step = 0, 0
    with path.open("w", encoding="utf-8") as file:
        file.write(
            '{\n  "schemaVersion": 1,\n  "deviceProperties": [{"id": 0, "name": "Synthetic"}],\n  "traceEvents": [\n'
        )
        while file.tell() < size:
            events = list(_step(step))
            text = ",\n".join(json.dumps(event, indent=2) for event in events)
            file.write(text if step == 0 else ",\n" + text)
            count, step = count + len(events), step + 1
        file.write('\n  ],\n  "traceName": "synthetic"\n}\n')
    return count


def _step(number: int) -> list[dict[str, object]]:
    """Return the events of one step: a fetch, 400 operators with a kernel each, backward passes as many."""
    zero = 1.6e15 + number * 50_000
    found: list[dict[str, object]] = []

    def add(category: str, name: str, at: float, took: float, thread: int = 1, **args: object) -> None:
        process = 0 if category == "kernel" else 1
        event = {"ph": "X", "cat": category, "name": name, "pid": process, "tid": thread, "ts": zero + at}
        found.append(
            {**event, "dur": took, "args": {"External id": len(found), "Ev Idx": len(found), **args}}
        )

    add("user_annotation", f"ProfilerStep#{number}", 0, 50_000)
    add("user_annotation", "enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__", 10, 4_000)
    for place in range(800):
        backward, at = place >= 400, 5_000 + place * 50
        thread = 2 if backward else 1
        if place == 400:
            add("cpu_op", "aten::ones_like", at - 5, 3)
        name = "autograd::engine::evaluate_function: AddmmBackward0" if backward else "aten::linear"
        add("cpu_op", name, at, 40, thread, **{"Input Dims": [[1024, 1024], [1024, 1024], []]})
        add("cpu_op", "aten::addmm", at + 5, 30, thread, **{"Input Dims": [[1024], [1024, 1024], []]})
        launch = number * 1_000 + place + 1
        add("cuda_runtime", "cudaLaunchKernel", at + 10, 5, thread, cbid=211, correlation=launch)
        shape = {"grid": [64, 1, 1], "block": [256, 1, 1], "registers per thread": 32, "queued": 0}
        kernel = f"void cutlass::Kernel<cutlass_80_tensorop_s1688gemm_128x128_tn_align{place % 40}>(Params)"
        add("kernel", kernel, at + 20, 45, 7, device=0, context=1, stream=7, correlation=launch, **shape)
        found.append(
            {
                "ph": "s",
                "id": launch,
                "pid": 1,
                "tid": thread,
                "ts": zero + at + 10,
                "cat": "ac2g",
                "name": "ac2g",
            }
        )
        found.append(
            {
                "ph": "f",
                "id": launch,
                "pid": 0,
                "tid": 7,
                "ts": zero + at + 20,
                "cat": "ac2g",
                "name": "ac2g",
                "bp": "e",
            }
        )
    add("user_annotation", "Optimizer.step#AdamW.step", 46_000, 1_000)
    return found


if __name__ == "__main__":
    main()
