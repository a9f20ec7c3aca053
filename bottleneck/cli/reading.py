"""What `bottleneck report` was given: a run or traces; and how far it is with reading large ones."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from .. import ingest, units
from ..errors import UsageError
from . import output

_SLOW_S = 2.0  # what takes longer tells how far it is; most traces are read in less
_EVERY_S = 1.0
_ENDINGS = (".gz", ".json", ".trace", ".pt")

Tell = Callable[[Path, int, int], None]


def traces_among(paths: Sequence[Path]) -> bool:
    """Return whether ``paths`` are traces; False for one run.

    Raises:
        UsageError: A path does not exist, runs and traces are mixed, or there is more than one run.
    """
    missing = next((path for path in paths if not path.exists()), None)
    if missing is not None:
        raise UsageError(f"{missing}: no such run directory or trace")
    traces = [ingest.looks_like_trace(path) for path in paths]
    if all(traces):
        return True
    if any(traces):
        run = next(path for path, trace in zip(paths, traces, strict=True) if not trace)
        raise UsageError(f"{run}: a folder among traces; name one run, or the traces of one training")
    if len(paths) > 1:
        raise UsageError(f"{paths[1]}: a second run; name one (to compare runs, see `bottleneck compare`)")
    return False


def folder_beside(trace: Path) -> Path:
    """Return a folder for the report on ``trace`` that does not exist yet, beside it: t.json.gz -> t.bottleneck."""
    name = trace.name
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    base = trace.with_name(f"{name or trace.name}.bottleneck")
    return next(path for path in _numbered(base) if not path.exists())


def _numbered(base: Path) -> Iterator[Path]:
    """Iterate over ``base``, then over it with a number: t.bottleneck, t-2.bottleneck, ..."""
    yield base
    yield from (base.with_name(f"{base.stem}-{number}{base.suffix}") for number in count(2))


@contextmanager
def progress(quiet: bool) -> Iterator[Tell]:
    """Return a function that tells on stderr how far reading is: on a terminal in one line that goes again."""
    terminal = sys.stderr.isatty()
    begun = last = time.monotonic()
    shown = False

    def tell(path: Path, done: int, size: int) -> None:
        nonlocal last, shown
        now = time.monotonic()
        if quiet or now - begun < _SLOW_S or now - last < _EVERY_S:
            return
        last = now
        share = units.fraction(min(1.0, done / max(1, size)))
        text = f"bottleneck: reading {output.printable(path.name)}: {share} of {units.size(float(size))}"
        output.put(f"\r\x1b[K{text}" if terminal else f"{text}\n")
        shown = terminal

    try:
        yield tell
    finally:
        if shown:
            output.put("\r\x1b[K")
