"""Two even ranks that `accelerate launch` starts; the loader, the model and the optimizer are Accelerate's."""

from __future__ import annotations

import time

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

if __name__ == "__main__":
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    model = nn.Linear(8, 8)
    model, optimizer, loader = accelerator.prepare(
        model,
        torch.optim.SGD(model.parameters(), 0.01),
        DataLoader(TensorDataset(torch.ones(160, 8)), batch_size=2),
    )
    for (batch,) in loader:
        time.sleep(0.004)
        accelerator.backward(model(batch).sum())
        optimizer.step()
        optimizer.zero_grad()
    accelerator.end_training()
