"""Two even ranks, started in one of several ways; the file they meet through is named on the command line."""

from __future__ import annotations

import os
import sys
import time

import torch
import torch.distributed
import torch.multiprocessing
from torch import nn
from torch.nn.parallel import DistributedDataParallel

HOW, MEET = sys.argv[1:3]


def lonely() -> None:
    """Train for a while as a rank that has not met the other yet."""
    model = nn.Linear(8, 8)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(40):
        time.sleep(0.004)
        model(torch.ones(2, 8)).sum().backward()
        optimizer.step()


def main(rank: int) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{MEET}", rank=rank, world_size=2)
    tensors = torch.distributed.new_group([0, 1], group_desc="tensor_parallel")
    model = DistributedDataParallel(nn.Linear(8, 8))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    # One that dies takes with it what a quarter of a second held: its steps are longer, so that most are seen.
    pause, last = (0.01, 80) if HOW == "dies" else (0.004, 40)
    for step in range(last):
        time.sleep(pause)
        model(torch.ones(2, 8)).sum().backward()
        torch.distributed.all_reduce(torch.ones(2), group=tensors)
        if step % 5 == 0:
            torch.distributed.all_gather_object([None, None], {"step": step})
            work = torch.distributed.all_reduce(torch.ones(8), async_op=True)
            work.wait()
        optimizer.step()
        optimizer.zero_grad()
        if HOW == "dies" and rank == 1 and step == 60:
            os._exit(3)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    if HOW == "lonely":
        lonely()
    elif HOW == "spawn":
        torch.multiprocessing.spawn(main, nprocs=2)
    else:
        main(int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))))
