"""Real trainings whose phases mislead, under the whole command: what is claimed must be what taking it away gains.

Everything sleeps, so that the truth is known on any machine. A device is a point in time until which it is busy.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timing

HEAD = """
    import time, torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    class Items(Dataset):
        def __init__(self, seconds):
            self.seconds = seconds
        def __len__(self):
            return 100_000
        def __getitem__(self, i):
            time.sleep(self.seconds)
            return torch.full((8,), float(i % 7)), i % 3

    free = 0.0

    class Net(nn.Linear):
        def forward(self, x):
            global free
            time.sleep(max(0.0, free - time.monotonic()))
            free = time.monotonic() + DEVICE_S
            if SYNC:
                time.sleep(DEVICE_S)
            return super().forward(x)

    torch.set_num_threads(1)
    model = Net(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def train(loader):
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
"""


def diagnosed(folder: Path, settings: str, loader: str) -> dict[str, Any]:
    """Return report.json of a training with ``settings`` (DEVICE_S, SYNC) over ``loader``."""
    script = folder / "train.py"
    body = f"{settings}\nif __name__ == '__main__':\n    train({loader})\n"
    script.write_text(textwrap.dedent(HEAD) + body, encoding="utf-8")
    command = [sys.executable, "-m", "trainbottleneck", "diagnose", "--no-stacks", "--steps", "40"]
    command += ["--experiments-seconds", "30", "-o", str(folder / "run"), str(script)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    return report


def ceiling(report: dict[str, Any]) -> dict[str, Any]:
    """Return the row of the input."""
    rows = [row for row in report["ceilings"] if row["resource"] == "input"]
    assert rows and rows[0]["state"] == "measured", report["ceilings"]
    return dict(rows[0])


def claims_input(report: dict[str, Any]) -> bool:
    """Return whether the verdict blames the input for a tenth of the step."""
    verdict = report["verdict"]
    return verdict["state"] == "bottleneck" and verdict["family"] == "input" and verdict["share"] >= 0.10


def test_a_wait_hidden_behind_the_device_is_not_blamed(tmp_path: Path) -> None:
    report = diagnosed(tmp_path, "DEVICE_S, SYNC = 0.04, False", "DataLoader(Items(0.02), 1)")
    assert report["measurements"]["input.wait_frac"]["value"] > 0.3  # the phases alone would blame it
    assert ceiling(report)["share"] < 0.05
    assert not claims_input(report)


def test_the_same_wait_is_blamed_where_the_device_rests_meanwhile(tmp_path: Path) -> None:
    report = diagnosed(tmp_path, "DEVICE_S, SYNC = 0.04, True", "DataLoader(Items(0.02), 1)")
    assert ceiling(report)["share"] == pytest.approx(1 / 3, abs=0.08)
    assert claims_input(report)
    assert report["verdict"]["share_basis"] == "ceiling"


def test_busy_workers_with_a_full_queue_are_not_blamed(tmp_path: Path) -> None:
    report = diagnosed(tmp_path, "DEVICE_S, SYNC = 0.04, True", "DataLoader(Items(0.05), 1, num_workers=2)")
    assert (
        report["measurements"]["input.worker_busy_frac"]["value"] > 0.3
    )  # 0.6, less where steps took longer
    assert abs(ceiling(report)["share"]) < 0.08
    assert not claims_input(report)


def test_starved_workers_are_blamed_for_what_they_cost(tmp_path: Path) -> None:
    report = diagnosed(tmp_path, "DEVICE_S, SYNC = 0.02, True", "DataLoader(Items(0.1), 1, num_workers=2)")
    assert ceiling(report)["share"] == pytest.approx(1 - 0.02 / 0.05, abs=0.1)
    assert claims_input(report)
