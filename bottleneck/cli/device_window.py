"""What a GPU did in the window of a run: the trace read as any other, for the collector that keeps the result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..analyze.window import summary
from ..ingest import load_traces


def device_of(path: Path) -> Mapping[str, Any] | None:
    """Return what the trace at ``path`` tells of the device (``analyze/window.py``), None where that is too little.

    Raises:
        TraceError: It can't be read.
    """
    return summary(load_traces([path]).processes[0])
