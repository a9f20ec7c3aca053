"""Runs a small training with orders written in advance, and returns what the agent told and where time went."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from trainbottleneck.collect import boot
from trainbottleneck.model.record import ProcessRecord
from trainbottleneck.model.span import Kind
from trainbottleneck.store import TraceTail

TIMEOUT_S = 120  # ends a test that hangs
FIRST = 60  # steps of 5 ms and more until the agent, which looks every quarter of a second, knows its orders
HEAD = """
    import gc, os, sys, time, logging, json
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset, IterableDataset

    def rest(seconds):  # as long as told: a machine may wake a sleeper half a millisecond late
        until = time.perf_counter() + seconds
        time.sleep(max(0.0, seconds - 0.001))
        while time.perf_counter() < until:
            pass

    class Items(Dataset):
        def __init__(self, n=100_000, s=0.0):
            self.n, self.s = n, s
        def __len__(self):
            return self.n
        def __getitem__(self, i):
            if self.s:
                rest(self.s)
            return torch.full((8,), float(i)), i % 3

    torch.set_num_threads(1)
    model = nn.Linear(8, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)

    def step(x, y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss
"""


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    code: int
    out: str
    err: str
    run: Path
    record: ProcessRecord

    def ended(self, arm: str) -> dict[str, Any]:
        """Return what the agent told at the end of the order for ``arm``."""
        (found,) = [event.data for event in self.record.told("ablated") if event.data["arm"] == arm]
        return dict(found)

    def step_ms(self, arm: str) -> tuple[list[float], list[float]]:
        """Return the milliseconds per step of the blocks as is, and of those without the resource."""
        marks = self.record.spans.of(Kind.MARK)
        marks = marks.where(np.array([marks.names[n] == arm for n in marks.name], dtype=bool))
        each = (marks.end_ns - marks.start_ns) / 1e6 / marks.b
        return each[marks.a == 0].tolist(), each[marks.a == 1].tolist()

    def waits_ms(self, arm: str) -> list[float]:
        """Return the milliseconds per step that the blocks as is waited for batches, as recorded."""
        marks, waits = self.record.spans.of(Kind.MARK), self.record.spans.of(Kind.NEXT)
        marks = marks.where(
            np.array([marks.names[n] == arm for n in marks.name], dtype=bool) & (marks.a == 0)
        )
        lasted, middle = (waits.end_ns - waits.start_ns) / 1e6, (waits.start_ns + waits.end_ns) // 2
        blocks = zip(marks.start_ns, marks.end_ns, marks.b, strict=True)
        return [float(lasted[(start <= middle) & (middle < end)].sum() / n) for start, end, n in blocks]

    def trouble(self) -> str:
        """Return what went wrong on our side."""
        log = self.run / "agent-errors.log"
        return log.read_text() if log.exists() else ""


def order(arm: str, at: int = FIRST, **details: Any) -> dict[str, Any]:
    """Return an order; blocks are short, as the scripts sleep."""
    return {
        "do": "ablate",
        "at": at,
        "arm": arm,
        "block": 10,
        "pairs": 1,
        "wash": 10,
        "budget_s": 60,
        **details,
    }


def steps_of(one: Mapping[str, Any]) -> int:
    """Return how many steps an order takes."""
    return int(one["pairs"] * 4 * (one["wash"] + one["block"]))


def in_turn(*orders: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the orders one after the other, and behind them the one to stop."""
    at, found = FIRST, []
    for one in orders:
        found.append({**one, "at": at})
        at += steps_of(one) + 2
    return [*found, {"do": "stop", "at": at}]


def write(folder: Path, script: str) -> Path:
    """Write the script below ``folder``/work and return that folder."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    (work / "train.py").write_text(textwrap.dedent(HEAD) + textwrap.dedent(script), encoding="utf-8")
    return work


def run(folder: Path, script: str, orders: Sequence[dict[str, Any]], **variables: str) -> Ran:
    """Run ``script`` behind the common head, with ``orders``."""
    work = write(folder, script)
    out = folder / "run"
    out.mkdir()
    made = boot.make(out, launcher=False)
    given = [{"scratch": str(out / "scratch"), **one} for one in orders]
    (out / "orders").write_text(json.dumps(given), encoding="ascii")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(made), **variables}
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        start_new_session=True,
    )
    return Ran(done.returncode, done.stdout, done.stderr, out, record_of(out, done.stderr))


def record_of(out: Path, said: str = "") -> ProcessRecord:
    """Return the record of the training process; ``said`` is shown where there is none."""
    found = []
    for path in out.glob("p*-*"):
        tail = TraceTail(path)
        tail.poll()
        record = tail.record()
        if len(record.spans.of(Kind.OPTIMIZER)):
            found.append(record)
    assert len(found) == 1, said
    return found[0]
