"""Ranks measure the link between them before they stop; one that stays away holds up nobody."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from loops.measured import two_ranks
from trainbottleneck.collect import boot
from trainbottleneck.store import TraceTail

SCRIPT = """
    import os, sys, time
    import torch
    import torch.distributed as dist

    rank = int(os.environ["RANK"])
    dist.init_process_group("gloo", init_method=f"file://{os.getcwd()}/meet", rank=rank, world_size=2)
    weight = torch.nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    groups = len(dist.distributed_c10d._world.pg_names)
    try:
        for step in range(10**6):
            time.sleep(0.005)
            if step < 60:
                dist.all_reduce(torch.ones(4))
            elif rank == 1 and sys.argv[1] == "away":
                time.sleep(8)
                break
            weight.sum().backward()
            optimizer.step()
    except KeyboardInterrupt:
        assert len(dist.distributed_c10d._world.pg_names) == groups
        if sys.argv[1] == "come":
            dist.all_reduce(torch.ones(4))
            dist.destroy_process_group()
        print("ended")
"""
TIMEOUT_S = 60
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Linked:
    """A rank that has ended."""

    code: int
    out: str
    err: str
    link: list[dict[str, Any]]


def run(folder: Path, how: str) -> dict[int, Linked]:
    """Return what became of two ranks that are told to stop after 80 steps."""
    (folder / "train.py").write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    out = folder / "run"
    out.mkdir()
    made = boot.make(out, launcher=False)
    (out / "orders").write_text(json.dumps([{"do": "stop", "at": 80, "link_s": 1.0}]), encoding="ascii")
    ranks = two_ranks([sys.executable, "train.py", how], folder, TIMEOUT_S, PYTHONPATH=str(made))
    assert not (out / "agent-errors.log").exists()
    told = _told(out)
    return {n: Linked(p.code, p.out, p.err, told[p.pid]) for n, p in enumerate(ranks)}


def _told(out: Path) -> dict[int, list[dict[str, Any]]]:
    """Return what each process told of its link, by process id."""
    found = {}
    for path in out.glob("p*-*"):
        tail = TraceTail(path)
        tail.poll()
        record = tail.record()
        found[record.pid] = [event.data for event in record.told("link")]
    return found


def test_the_link_is_measured_by_all_ranks_and_the_script_goes_on_as_if_nothing_was(tmp_path: Path) -> None:
    ranks = run(tmp_path, "come")
    for rank in ranks.values():
        assert rank.code == 0 and rank.out.startswith("ended"), rank
        (link,) = rank.link
        assert link["state"] == "done" and link["world"] == 2
        assert link["sizes"] == ranks[0].link[0]["sizes"]  # all stopped at the same size
        assert len(link["sizes"]) >= 3 and link["sizes"] == sorted(link["sizes"])
        assert all(5 <= len(calls) <= 25 and min(calls) > 0 for calls in link["times_us"])
        assert (link["end_ns"] - link["begin_ns"]) < 5e9


def test_a_rank_that_stays_away_holds_up_nobody(tmp_path: Path) -> None:
    begin = time.monotonic()
    ranks = run(tmp_path, "away")
    (link,) = ranks[0].link
    assert link["state"] == "refused" and link["reason"] == "not all ranks came to measure the link"
    assert (link["end_ns"] - link["begin_ns"]) < 8e9
    assert ranks[0].code == 0 and ranks[0].out.startswith("ended"), ranks[0]
    assert ranks[1].link == []
    assert time.monotonic() - begin < TIMEOUT_S
