"""Runs all checks in one child and tells the outcome of each: a child pays some seconds to import torch."""

from __future__ import annotations

import ast
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def names(module: str) -> list[str]:
    """Return the names of the checks in a module."""
    tree = ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
    ]


@functools.cache
def results() -> dict[str, str]:
    """Return what went wrong in each check, "" where nothing did."""
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    for name in ("TORCHDYNAMO_DISABLE", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        environment.pop(name, None)
    command = [sys.executable, "-W", "ignore", str(HERE / "child.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and lines, done.stderr
    return dict(json.loads(lines[-1]))
