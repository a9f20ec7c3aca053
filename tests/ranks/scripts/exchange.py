"""Data-parallel training with one planted trouble, by name; sleeps stand for work, whatever else the machine does."""

from __future__ import annotations

import os
import random
import sys
import time

import torch
import torch.distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

TROUBLE = sys.argv[1]
STEPS = int(sys.argv[2]) if len(sys.argv) > 2 else 60
RANK = int(os.environ["RANK"])
TURNS = random.Random(7)  # the same on every rank: whose turn it is to be late


class Sleep(torch.autograd.Function):
    """Takes its time in forward and in backward."""

    @staticmethod
    def forward(context, value, seconds):
        time.sleep(seconds)
        context.seconds = seconds
        return value.clone()

    @staticmethod
    def backward(context, grad):
        time.sleep(context.seconds)
        return grad, None


class Net(nn.Module):
    """A few layers, and time that the trouble decides on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, width), nn.Linear(width, 8)
        self.middle = nn.Linear(width, width)

    def forward(self, value, seconds):
        value = Sleep.apply(self.first(value), seconds)
        return self.last(self.middle(value))


class Samples(Dataset):
    """Sixteen numbers, made slowly on rank 1 where that is the trouble."""

    def __len__(self) -> int:
        return 2 * STEPS

    def __getitem__(self, index: int) -> torch.Tensor:
        if TROUBLE == "input" and RANK == 1:
            time.sleep(0.015)
        return torch.full((8,), float(index))


def seconds_of(step: int) -> float:
    """Return how long forward takes on this rank in this step; backward takes as long again."""
    turn = TURNS.randrange(torch.distributed.get_world_size())
    if TROUBLE == "compute":
        return 0.025 if RANK == 1 else 0.005
    if TROUBLE == "late":
        return 0.025 if RANK == 1 and step >= STEPS // 2 else 0.005
    if TROUBLE == "turns":
        return 0.025 if turn == RANK else 0.005
    if TROUBLE == "lengths":  # lengths of sequences, drawn on each rank by itself
        return 0.004 * random.Random(step * 97 + RANK).choice((1, 1, 2, 8))
    return {"exchange": 0.001, "healthy": 0.03}.get(TROUBLE, 0.012)


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    model = DistributedDataParallel(Net(1500 if TROUBLE in ("exchange", "micro") else 32))
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    true = 0.0
    logger = model.logger
    if TROUBLE == "exchange":
        model._set_ddp_runtime_logging_sample_rate(1)
    for step, batch in enumerate(DataLoader(Samples(), batch_size=2)):
        for _ in range(3 if TROUBLE == "micro" else 1):
            model(batch, seconds_of(step)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 10 == 0:
            torch.distributed.all_reduce(torch.ones(4))
        if TROUBLE == "exchange" and step >= STEPS // 4:
            logger.set_runtime_stats_and_log()
            found = logger._get_ddp_logging_data().ints_map
            true += (found["backward_comm_time"] - found["backward_compute_comm_overlap_time"]) / 1e9
    total = float(sum(p.detach().double().sum() for p in model.parameters()))
    # one write for each rank: they share the pipe
    os.write(1, f"TRUE {RANK} {true / (STEPS - STEPS // 4)}\nSUM {RANK} {total}\n".encode())
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
