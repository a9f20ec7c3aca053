"""Size of record and report, and time from the end of a script to its report, for runs of any length."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aboard

# Writes a run of plain steps straight through the agent's recorder: what a real loop leaves, without the loop.
_CODE = """
import os
from _trainbottleneck_agent import kinds
recorder = install.SESSION.recorder
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
before, t = resident(), now() - {steps} * 100_000  # in the past, or every span would seem overdue
recorder.event("loader", number=1, workers=0, batch_size=8)
recorder.event("optimizer", number=1, name="SGD", tensors=8, parameters=100, bytes=400, dtypes=[], devices=["cpu"])
start = t
name = recorder.name("Net")
for step in range({steps}):
    spans = ((kinds.NEXT, 20), (kinds.FORWARD, 25), (kinds.BACKWARD, 35), (kinds.OPTIMIZER, 15))
    recorder.span(kinds.BATCH, t + 1_000, t + 18_000, 0, 0, 8, 15_000)
    recorder.span(kinds.COLLATE, t + 15_000, t + 17_000, 0, 0, 8, 2_000)
    recorder.span(kinds.BATCH_IO, t + 1_000, t + 18_000, 0, 0, 0, 0)
    for kind, us in spans:
        flags = kinds.TRAINING | kinds.GRAD if kind == kinds.FORWARD else 0
        recorder.span(kind, t, t + us * 1000, flags, name, -1, 1)
        t += us * 1000 + 1000
recorder.flush()
recorder.event("exit")
with open(CONFIG["run"] + "/run.json", "w") as file:
    outcome = dict(exit_code=0, signal=None, stopped_by_us=False, start_ns=start, end_ns=t)
    json.dump(dict(schema=1, run_id="bench", tool_version="0", started="", command=dict(argv=["bench"]),
                   environment=dict(), outcome=outcome, failures=[], overhead=dict()), file)
import shutil
shutil.copytree(CONFIG["run"], {keep!r}, ignore=shutil.ignore_patterns("boot"))
print(json.dumps(resident() - before))
"""


def main() -> None:
    """Print the table."""
    print("| steps | record, MB | added to the process, MB | time to report, s | report.html, kB |")
    print("|---|---|---|---|---|")
    for steps in (500, 100_000, 1_000_000):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            grown = aboard.run(_CODE.format(steps=steps, keep=str(run)))
            size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
            start = time.perf_counter()
            command = [sys.executable, "-m", "trainbottleneck", "report", "--quiet", str(run)]
            subprocess.run(command, check=True)
            seconds = time.perf_counter() - start
            page = (run / "report.html").stat().st_size
            seen = json.loads((run / "report.json").read_text())["step"]["seen"]
            assert seen, "the report saw no step"
            print(
                f"| {steps:,} | {size / 1e6:.2f} | {grown / 1e6:.1f} | {seconds:.1f} | {page / 1e3:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
