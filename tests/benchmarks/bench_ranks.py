"""How long many ranks take to merge and diagnose, and in how much memory; the planted rank must be found.

``python tests/benchmarks/bench_ranks.py [RANKS [STEPS]]``: 1,024 x 1,000 must take under 15 s and 1 GB on two
cores, 16,384 x 1,000 under 3 minutes (its record takes 3.5 GB on disk).
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from many_ranks import Plan, write
from trainbottleneck import rulebook
from trainbottleneck.analyze.ranks.condense import Condenser
from trainbottleneck.diagnosis import diagnose
from trainbottleneck.render import html_report, json_report
from trainbottleneck.store import load


def measure(plan: Plan, folder: Path) -> dict[str, object]:
    """Return seconds, memory and the verdict of one run in ``folder``."""
    begin = time.perf_counter()
    write(folder, plan)
    written = time.perf_counter()
    record = load(folder, Condenser())
    loaded = time.perf_counter()
    report = diagnose(record, rulebook.load([rulebook.shipped()]))
    made = time.perf_counter()
    page, text = html_report.render(report), json_report.render(report)
    return {
        "ranks": plan.ranks,
        "steps": plan.steps,
        "write_s": round(written - begin, 1),
        "merge_s": round(loaded - written, 1),
        "diagnose_s": round(made - loaded, 1),
        "render_s": round(time.perf_counter() - made, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "html_kb": len(page) // 1024,
        "json_kb": len(text) // 1024,
        "bottleneck": report.verdict.bottleneck,
        "rank": report.measurements["straggler.rank"]["value"],
        "since": report.measurements["straggler.since_step"]["value"],
        "cost_frac": round(report.measurements["straggler.cost_frac"]["value"], 3),
        "headline": report.verdict.headline,
    }


def main() -> None:
    """Print one line of JSON."""
    told = [int(word) for word in sys.argv[1:] if word.isdigit()]
    ranks, steps = (*told, *(1024, 1000)[len(told) :])
    folder = Path(tempfile.mkdtemp(prefix="ranks-"))
    try:
        print(json.dumps(measure(Plan(ranks=ranks, steps=steps, slow=ranks * 2 // 3), folder / "run")))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
