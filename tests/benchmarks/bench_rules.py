"""Time and memory of loading every rule and judging a run: what each report pays before it is drawn."""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
RUNS = 9

# In a process of its own, so that memory counts what the rules add to an interpreter that has read the engine.
_CODE = """
import os, sys, time
sys.path[:0] = [{tests!r}, {advise!r}]
from typical import LOOPS, typical
from trainbottleneck import rulebook
from trainbottleneck.advise.engine import advise
from trainbottleneck.advise.verdict import conclude
from trainbottleneck.diagnose.engine import judge
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
given = [typical(run, {{}}, {{}}) for run in LOOPS]
before, start = resident(), time.process_time()
book = rulebook.load()
loaded = time.process_time()
for measurements in given:
    findings = judge(measurements, book.bottlenecks.values())
    advice, _ = advise(findings, measurements, book.mitigations.values())
    conclude(findings, measurements, advice)
judged = time.process_time()
count = len(book.bottlenecks) + len(book.mitigations)
print(count, loaded - start, (judged - loaded) / len(given), resident() - before)
"""


def main() -> None:
    """Print the table: CPU time, so that a busy machine moves it little."""
    rows = []
    code = _CODE.format(tests=str(TESTS), advise=str(TESTS / "advise"))
    for _ in range(RUNS):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        rows.append([float(part) for part in done.stdout.split()])
    count, loading, judging, grown = (list(column) for column in zip(*rows, strict=True))
    both = [a + b for a, b in zip(loading, judging, strict=True)]
    print("| | median | largest | to stay under |")
    print("|---|---|---|---|")
    print(f"| rules | {count[0]:.0f} | | |")
    for name, values, limit in (("load, CPU ms", loading, ""), ("judge and advise, CPU ms", judging, "")):
        print(f"| {name} | {statistics.median(values) * 1e3:.1f} | {max(values) * 1e3:.1f} | {limit} |")
    print(f"| both, CPU ms | {statistics.median(both) * 1e3:.1f} | {max(both) * 1e3:.1f} | 150 |")
    print(f"| added memory, MB | {statistics.median(grown) / 1e6:.1f} | {max(grown) / 1e6:.1f} | 50 |")


if __name__ == "__main__":
    main()
