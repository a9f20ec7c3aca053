"""What each override does to a model and its calls, what it refuses and why; each group runs in one child process."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

import pytest

from .checks import HERE, names

GROUPS = (
    "ddp_checks",
    "model_checks",
    "autocast_checks",
    "call_checks",
    "compile_checks",
)  # ranks are forked before threads start


@functools.cache
def results() -> dict[str, str]:
    """Return what went wrong in each check, "" where nothing did."""
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    environment.pop("TORCHDYNAMO_DISABLE", None)
    command = [sys.executable, "-W", "ignore", str(HERE / "model_child.py"), *GROUPS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines, done.stderr
    return dict(json.loads(lines[-1]))


@pytest.mark.parametrize("check", [name for group in GROUPS for name in names(group)])
def test_overrides_of_the_model(check: str) -> None:
    assert results().get(check, "did not run") == ""
