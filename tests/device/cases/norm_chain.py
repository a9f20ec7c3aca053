"""Normalisations one after the other over large activations: few FLOPs, many bytes."""

import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(*[nn.Sequential(nn.LayerNorm(512), nn.ReLU()) for _ in range(6)])
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
x = torch.randn(8192, 512)
for _ in range(3000):
    optimizer.zero_grad()
    net(x).square().mean().backward()
    optimizer.step()
