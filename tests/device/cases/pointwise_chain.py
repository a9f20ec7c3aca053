"""Pointwise operators one after the other over large activations."""

import torch
from torch import nn

torch.manual_seed(0)


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1024))

    def forward(self, x):
        for _ in range(6):
            x = torch.relu(x * self.scale + 0.1) - 0.05
        return x


net = Chain()
optimizer = torch.optim.SGD(net.parameters(), lr=0.001)
x = torch.randn(4096, 1024)
for _ in range(3000):
    optimizer.zero_grad()
    net(x).mean().backward()
    optimizer.step()
