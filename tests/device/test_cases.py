"""Ten small trainings of which each is held up by one known thing: the verdict names it.

They run with one thread and one after the other. What is asserted are bottleneck and shares, which do not depend on
how fast the machine is or on who else uses it; times do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timing

pytest.importorskip("torch")
CASES = Path(__file__).parent / "cases"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for the probes of this session."""
    return tmp_path_factory.mktemp("cache")


def diagnose(case: str, folder: Path, cache: Path, threads: int | None) -> Mapping[str, Any]:
    """Return the report on a case."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    environment.pop("OMP_NUM_THREADS", None)
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    options = ["--steps", "12", "--no-stacks", "--no-experiments", "--quiet", "-o", str(folder / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "trainbottleneck", "diagnose", *options, str(CASES / f"{case}.py")],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads((folder / "run" / "report.json").read_text()))


def share(report: Mapping[str, Any], name: str) -> float:
    """Return a measured share."""
    return float(report["measurements"][f"device.{name}_frac"]["value"])


def firing(report: Mapping[str, Any]) -> list[str]:
    """Return the rules that fire, first first."""
    return [row["rule"] for row in report["findings"] if row["state"] == "fires"]


@pytest.mark.parametrize("case", ["wide_mlp", "conv_net", "attention"])
def test_arithmetic_limits(case: str, tmp_path: Path, cache: Path) -> None:
    found = diagnose(case, tmp_path, cache, threads=1)
    assert found["verdict"]["bottleneck"] == "compute"
    assert "maths" in firing(found)
    assert share(found, "maths") > 3 * (share(found, "bandwidth") + share(found, "overhead"))


@pytest.mark.parametrize("case", ["norm_chain", "pointwise_chain", "embedding"])
def test_memory_limits(case: str, tmp_path: Path, cache: Path) -> None:
    found = diagnose(case, tmp_path, cache, threads=1)
    assert found["verdict"]["bottleneck"] == "memory_bandwidth"
    assert share(found, "bandwidth") > 3 * (share(found, "maths") + share(found, "overhead"))


def test_dispatch_limits_an_unrolled_tiny_cell(tmp_path: Path, cache: Path) -> None:
    found = diagnose("tiny_cell", tmp_path, cache, threads=1)
    assert found["verdict"]["bottleneck"] == "host_overhead"
    assert share(found, "overhead") > 3 * (share(found, "maths") + share(found, "bandwidth"))


def test_an_update_of_two_thousand_tensors_limits(tmp_path: Path, cache: Path) -> None:
    found = diagnose("many_tensors", tmp_path, cache, threads=1)
    assert found["verdict"]["bottleneck"] == "optimizer"
    assert found["mitigations"][0]["id"] == "fused_optimizer"
    assert found["measurements"]["optimizer.floor_frac"]["value"] < 0.1  # not its bytes


def test_float64_is_named_and_float32_advised(tmp_path: Path, cache: Path) -> None:
    found = diagnose("double", tmp_path, cache, threads=CORES)  # with fewer, the idle ones may cost as much
    assert (found["verdict"]["bottleneck"], found["verdict"]["state"]) == ("compute", "bottleneck")
    assert firing(found)[0] == "double_precision"
    assert found["mitigations"][0]["id"] == "float32_parameters"


@pytest.mark.skipif(CORES < 2, reason="one core can't be left idle")
def test_one_thread_leaves_cores_idle_and_the_same_with_all_cores_is_healthy(
    tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "all").mkdir()
    found = diagnose("one_thread", tmp_path, cache, threads=None)
    assert (found["verdict"]["bottleneck"], found["verdict"]["state"]) == ("compute", "bottleneck")
    assert firing(found)[0] == "idle_cores"
    assert found["mitigations"][0]["id"] == "all_cores"
    whole = diagnose("wide_mlp", tmp_path / "all", cache, threads=CORES)
    assert "idle_cores" not in firing(whole)
