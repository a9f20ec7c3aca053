"""Attention over 1,024 positions with the fused operator of the CPU."""

import torch
from torch import nn

torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self, width=256, heads=4):
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return x + self.out(mixed.transpose(1, 2).reshape(batch, length, width))


net = nn.Sequential(Block(), Block())
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
x = torch.randn(2, 1024, 256)
for _ in range(3000):
    optimizer.zero_grad()
    net(x).square().mean().backward()
    optimizer.step()
