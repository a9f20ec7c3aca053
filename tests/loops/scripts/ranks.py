"""Data-parallel training without end: it is stopped from outside, and every rank says after which step."""

from __future__ import annotations

import os

import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel
from truth import SGD, TRUTH, Net

if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    model = DistributedDataParallel(Net())
    optimizer = SGD(model.parameters(), 0.01)
    try:
        while True:
            optimizer.zero_grad()
            model(torch.ones(2, 4)).sum().backward()
            optimizer.step()
    finally:
        TRUTH.write("rank" + os.environ["RANK"])
