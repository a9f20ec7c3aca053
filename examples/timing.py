"""An optional stopwatch for the examples' steps: ``--timing FILE`` writes one time per finished step."""

from __future__ import annotations

import argparse
import time
from pathlib import Path


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--timing FILE`` to an example's arguments."""
    parser.add_argument("--timing", type=Path, metavar="FILE", help="write the time after every step to FILE")


class Stopwatch:
    """Writes ``time.perf_counter()`` (seconds) per call of ``lap``; does nothing without a file."""

    def __init__(self, path: Path | None) -> None:
        # Line by line: what was written stays, however the script ends. One write costs about 2 microseconds.
        self._file = path.open("w", buffering=1) if path else None

    def lap(self) -> None:
        if self._file:
            self._file.write(f"{time.perf_counter():.6f}\n")
