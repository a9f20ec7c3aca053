"""With several ranks every experiment begins and ends after the same steps on all of them."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
from pathlib import Path

from trainbottleneck.collect import boot
from trainbottleneck.store import TraceTail

from .runs import TIMEOUT_S, Ran, in_turn, order, write

SCRIPT = """
    import torch.distributed as dist
    from torch.utils.data.distributed import DistributedSampler

    dist.init_process_group("gloo")
    rank = dist.get_rank()
    ddp = nn.parallel.DistributedDataParallel(model)

    def slow(state, bucket):
        time.sleep(0.01)
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
                time.sleep(0.004)
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
    shared = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(made), "WORLD_SIZE": "2"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [
        subprocess.Popen(
            [sys.executable, "train.py"],
            cwd=work,
            env={**shared, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=TIMEOUT_S) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [out for out, _ in said] == ["ended together\n"] * 2, said
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
