"""Arguments and stopwatch shared by the gauntlet's trainings.

``--timing FILE`` writes a line per finished step: ``time.perf_counter()`` in seconds and how many samples the step
trained on. ``--steps N`` ends the training; by default it goes on until it is stopped, as long trainings do.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path


def parser(description: str | None, **doses: float) -> argparse.ArgumentParser:
    """Return a parser with ``--steps``, ``--timing``, ``--fixed`` and an option per dose (name=default)."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--steps", type=int, default=0, help="0: until stopped")
    made.add_argument("--timing", type=Path, metavar="FILE", help="write the time after every step to FILE")
    made.add_argument("--fixed", action="store_true", help="train without what holds this training up")
    for name, default in doses.items():
        made.add_argument("--" + name.replace("_", "-"), type=type(default), default=default)
    return made


class Clock:
    """Writes one line per call of ``lap``; ends the training after ``args.steps`` laps."""

    def __init__(self, args: argparse.Namespace) -> None:
        # Line by line: what was written stays, however the script ends. One write costs about 2 microseconds.
        self._file = args.timing.open("w", buffering=1) if args.timing else None
        self._left = args.steps or -1

    def lap(self, samples: int = 1) -> None:
        if self._file:
            self._file.write(f"{time.perf_counter():.6f} {samples}\n")
        self._left -= 1
        if self._left == 0:
            sys.exit(0)
