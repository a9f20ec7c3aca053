"""Loops that update parameters by hand, as examples of torch do: measured, looked into, experimented on, ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainbottleneck.agent import by_hand, model_calls

LOOP = """
import time, torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

class Items(Dataset):
    def __len__(self):
        return 100_000
    def __getitem__(self, i):
        time.sleep(0.01)
        return torch.full((8,), float(i % 7)), i % 3

net = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 3))
try:
    for x, y in DataLoader(Items(), 2):
        net.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        with torch.no_grad():
            for p in net.parameters():
                p -= 1e-3 * p.grad
        time.sleep(0.02)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.timing
def test_a_loop_without_optimizer_is_looked_into_experimented_on_and_stopped(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LOOP)
    done = subprocess.run(
        [sys.executable, "-m", "trainbottleneck", "diagnose", "--no-stacks", "-o", "run", "train.py"],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "once more" not in done.stderr  # it ends when asked for the first time
    assert "interrupted" in done.stdout.splitlines()
    report: dict[str, Any] = json.loads((tmp_path / "run" / "report.json").read_text())
    (ceiling,) = [row for row in report["ceilings"] if row["resource"] == "input"]
    assert ceiling["share"] == pytest.approx(0.5, abs=0.08)
    assert report["verdict"]["family"] == "input"
    given = {name: row["value"] for name, row in report["measurements"].items()}
    assert given["device.placed"] == 1
    assert (given["model.parameters"], given["model.double"]) == (8 * 64 + 64 + 64 * 3 + 3, 0)
    assert given["host.torch_threads"] == 1
    assert "optimizer.tensors" not in given


class Steps:
    """An installed counter and what it asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(model_calls, "_after_backward", None)
        self.told: list[str] = []
        self.asked: list[int] = []
        self.stepped = 0
        recorder: Any = SimpleNamespace(
            event=lambda kind, **_: self.told.append(kind), span=lambda *_: None, failed=pytest.fail
        )
        self.hand = by_hand.ByHand(torch, recorder, lambda: self.stepped)
        self.hand.install(lambda: self.asked.append(self.hand.updates()))
        self.model = torch.nn.Linear(2, 2)
        self.hand.follow(self.model)

    def passed(self, times: int) -> None:
        for _ in range(times):
            assert model_calls._after_backward is not None
            model_calls._after_backward()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Return a counter; nothing of it stays."""
    return Steps(monkeypatch)


def test_boundaries_begin_once_no_optimizer_can_be_expected_any_more(steps: Steps) -> None:
    steps.passed(31)
    assert (steps.hand.updates(), steps.asked, steps.told) == (0, [], [])
    steps.passed(2)
    assert (steps.asked, steps.told) == ([32, 33], ["torch", "by_hand"])


@pytest.mark.parametrize(("passes", "asked", "updates"), [(40, 9, 41), (8, 0, 1)])
def test_an_optimizer_that_steps_ends_it_for_good(
    steps: Steps, passes: int, asked: int, updates: int
) -> None:
    steps.passed(passes)
    steps.stepped = 1
    steps.passed(1)
    assert model_calls._after_backward is None
    assert (len(steps.asked), steps.hand.updates()) == (asked, updates)


def test_a_pass_within_a_pass_ends_no_step(steps: Steps) -> None:
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda grad: steps.passed(1))
    y.sum().backward()
    assert steps.hand.passes == 0
