"""With several ranks every experiment begins and ends after the same steps on all of them."""

from __future__ import annotations

import json
import socket
import statistics
import sys
from pathlib import Path

import pytest
from loops.measured import two_ranks
from trainbottleneck.collect import boot
from trainbottleneck.store import TraceTail

from .runs import TIMEOUT_S, Ran, in_turn, order, write

pytestmark = pytest.mark.timing

SCRIPT = """
    import torch.distributed as dist
    from torch.utils.data.distributed import DistributedSampler

    dist.init_process_group("gloo")
    rank = dist.get_rank()
    ddp = nn.parallel.DistributedDataParallel(model)

    def slow(state, bucket):
        rest(0.01)
        done = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    ddp.register_comm_hook(None, slow)
    data = Items(96, s=0.0005)
    sampler = DistributedSampler(data)
    epochs = 0
    try:
        while True:
            count = 0
            for x, y in DataLoader(data, batch_size=4, sampler=sampler, num_workers=rank):
                optimizer.zero_grad()
                nn.functional.cross_entropy(ddp(x), y).backward()
                optimizer.step()
                rest(0.004)
                count += 1
            assert count == 12
    except KeyboardInterrupt:
        dist.destroy_process_group()
        print("ended together")
"""


def test_gradients_are_exchanged_again_after_blocks_without(tmp_path: Path) -> None:
    work = write(tmp_path, SCRIPT)
    out = tmp_path / "run"
    out.mkdir()
    made = boot.make(out, launcher=False)
    orders = in_turn(order("collectives", wash=3), order("input", wash=10, budget_s=0.01, pairs=2))
    (out / "orders").write_text(json.dumps([{"scratch": str(out / "scratch"), **one} for one in orders]))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = two_ranks([sys.executable, "train.py"], work, TIMEOUT_S, PYTHONPATH=str(made), **meet)
    assert [rank.out for rank in ranks] == ["ended together\n"] * 2, ranks
    found = []
    for path in out.glob("p*-*"):
        tail = TraceTail(path)
        tail.poll()
        if tail.record().told("ablated"):
            found.append(Ran(0, "", "", out, tail.record()))
    assert len(found) == 2
    for ran in found:
        assert ran.ended("collectives")["state"] == ran.ended("input")["state"] == "done"
        assert ran.ended("input")["steps"] == 160  # time is no reason to stop where others go on
        asis, without = (statistics.fmean(part) for part in ran.step_ms("collectives"))
        assert abs(asis - without - 10) < 0.25 * asis
        before, after = ran.step_ms("collectives")[0]
        assert abs(before - after) < 0.25 * before
