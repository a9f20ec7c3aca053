"""Rows of a large table looked up and summed up: random reads, and a gradient as large as the table."""

import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.EmbeddingBag(200_000, 64, mode="sum"), nn.Linear(64, 2))
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
x, y = torch.randint(0, 200_000, (1024, 64)), torch.randint(0, 2, (1024,))
for _ in range(3000):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
