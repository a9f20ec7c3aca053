"""Added start-up: `import torch` in a fresh interpreter with and without the agent, in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from trainbottleneck.collect import boot


def _seconds(code: str, place: Path | None) -> float:
    """Return the wall time of one interpreter that runs ``code``."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if place is not None:
        environment["PYTHONPATH"] = str(place)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - start


def main(pairs: int = 15) -> None:
    """Print the table."""
    print("| program | without, ms | added, ms (median of pairs) | quartiles |\n|---|---|---|---|")
    for code in ("pass", "import torch"):
        added, base = [], []
        for _ in range(pairs):
            with tempfile.TemporaryDirectory() as folder:
                place = boot.make(Path(folder), launcher=False)
                plain = _seconds(code, None)
                added.append((_seconds(code, place) - plain) * 1e3)
                base.append(plain * 1e3)
        low, middle, high = statistics.quantiles(added, n=4)
        print(
            f"| `{code}` | {statistics.median(base):.0f} | {middle:+.1f} | {low:+.1f} to {high:+.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
