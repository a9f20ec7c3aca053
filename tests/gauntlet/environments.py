"""Environments of their own, for rivals and for projects that need packages which this one does not."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from .case import Case

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / ".gauntlet"


def interpreter(case: Case) -> str:
    """Return the Python that runs ``case``: this one, or that of an environment with what it requires."""
    return str(environment(case.requires)) if case.requires else sys.executable


def environment(requirements: Sequence[str]) -> Path:
    """Return the Python of an environment with ``requirements``, which is made where there is none yet."""
    name = hashlib.sha256("\n".join(sorted(requirements)).encode()).hexdigest()[:12]
    folder = BUILD / "environments" / name
    python, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-c", str(ROOT / "constraints-dev.txt"), *requirements], check=True)
        ready.touch()
    return python
