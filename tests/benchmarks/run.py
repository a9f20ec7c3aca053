"""Measure what the product promises and print one table per promise: ``make bench [ONLY=name,...]``.

All figures are ratios or differences of interleaved runs, so that a noisy machine moves both sides alike.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = ("hooks", "overhead", "gloo", "startup", "record", "rules", "ranks", "handover", "trials")


def main() -> None:
    """Run the benchmarks named on the command line, all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which to run (default: all)")
    chosen = parser.parse_args().names or NAMES
    sys.path.insert(0, str(HERE))
    for name in chosen:
        print(f"\n## {name}\n", flush=True)
        importlib.import_module(f"bench_{name}").main()


if __name__ == "__main__":
    main()
