"""The replay against the loader it describes, and the best number of workers against trying them all."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from build import measurements
from trainbottleneck.model.report import PHASES
from trainbottleneck.model.workload import Feeding, Lane, Workload
from trainbottleneck.predict.change import Change
from trainbottleneck.predict.simulator import Simulator
from trainbottleneck.predict.workers import best_workers

pytest.importorskip("torch.utils.data")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="starts workers by fork")

CHILD = Path(__file__).with_name("real_loaders.py")
BASE = {
    "prefetch_factor": 2,
    "persistent_workers": False,
    "in_order": True,
    "batches": 80,
    "epochs": 1,
    "mean": 0.03,
    "cv": 0.7,
    "loop": 0.012,
}
SETTINGS = {
    "no workers": {"workers": 0},
    "one worker": {"workers": 1},
    "a queue of one batch each": {"workers": 2, "prefetch_factor": 1},
    "three workers": {"workers": 3},
    "a long queue": {"workers": 2, "prefetch_factor": 6},
    "any order": {"workers": 3, "in_order": False},
    "new workers in each epoch": {"workers": 2, "batches": 30, "epochs": 3},
    "workers that live on": {"workers": 2, "batches": 30, "epochs": 3, "persistent_workers": True},
    "a loader that keeps up": {"workers": 3, "mean": 0.01},
    "batches of very different length": {"workers": 4, "cv": 2.0, "mean": 0.04},
}


def real(settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what real loaders with ``settings`` took."""
    command = [sys.executable, str(CHILD), json.dumps([{**BASE, **one} for one in settings])]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def replayed(setting: dict[str, Any], seen: dict[str, Any]) -> Simulator:
    """Return the simulator of what a real loader took, as the analysis would build it."""
    told = {**BASE, **setting}
    receive = statistics.fmean(seen["receives"])
    first = statistics.fmean(seen["made"][:: told["batches"]])
    start = statistics.fmean(seen["gaps"]) - receive - first
    return Simulator(
        Workload(
            lanes=(
                Lane(
                    steps=tuple(
                        tuple(loop if phase == "other" else 0.0 for phase in PHASES) for loop in seen["loops"]
                    ),
                    making_s=tuple(seen["made"]),
                ),
            ),
            step_s=seen["step"],
            count=len(seen["loops"]),
            feeding=Feeding(
                workers=told["workers"],
                prefetch=told["prefetch_factor"],
                in_order=told["in_order"],
                persistent=told["persistent_workers"],
                blocked_frac=1.0,
                receive_s=receive,
                epoch_steps=told["batches"],
                start_s=max(0.0, start),
            ),
            cores=64,
        )
    )


TRIED = tuple({"workers": workers, "mean": 0.04, "cv": 0.5} for workers in range(6))


@pytest.fixture(scope="module")
def everything() -> list[dict[str, Any]]:
    """Return what every setting took, and then what it took to try every number of workers."""
    return real([*SETTINGS.values(), *TRIED])


@pytest.fixture(scope="module")
def seen(everything: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what every setting took."""
    return dict(zip(SETTINGS, everything, strict=False))


@pytest.mark.parametrize("name", SETTINGS)
def test_the_replay_gives_the_mean_step_of_a_real_loader(name: str, seen: dict[str, dict[str, Any]]) -> None:
    run = replayed(SETTINGS[name], seen[name])
    assert run.step_s() == pytest.approx(seen[name]["step"], rel=0.05)


def without_start(one: dict[str, Any]) -> dict[str, Any]:
    """Return a run as if its workers had started at once: how long that takes is up to the machine's load."""
    first = one["made"][0] + statistics.fmean(one["receives"])
    return {**one, "gaps": [first], "step": one["step"] - (sum(one["gaps"]) - first) / len(one["loops"])}


@pytest.fixture(scope="module")
def tried(everything: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what every number of workers from none took."""
    return [without_start(one) for one in everything[len(SETTINGS) :]]


def test_other_numbers_of_workers_take_what_was_predicted(tried: list[dict[str, Any]]) -> None:
    errors = []
    for now, seen in zip(TRIED, tried, strict=True):
        run = replayed(now, seen)
        for workers, other in enumerate(tried):
            predicted = run.ratio(Change(workers=workers)) * seen["step"]
            errors += [abs(predicted / other["step"] - 1)] if workers != now["workers"] else []
    errors.sort()
    assert statistics.median(errors) <= 0.05
    assert errors[len(errors) * 9 // 10] <= 0.15


def test_the_best_number_of_workers_is_the_one_found_by_trying_them_all(tried: list[dict[str, Any]]) -> None:
    now = replayed(TRIED[0], tried[0])
    given = {"host.usable_cores": 2, "input.cpu_frac": 0.0, "step.mean_s": now.workload.step_s}
    best = best_workers(measurements(given, workload=now.workload))
    steps = [one["step"] for one in tried]
    assert best is not None and best.workers < len(steps)
    assert steps[best.workers] <= min(steps) * 1.03
