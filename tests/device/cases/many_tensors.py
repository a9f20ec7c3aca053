"""Adam over 2,000 small tensors, one after the other."""

import torch
from torch import nn

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(256, 256)
        self.many = nn.ParameterList(nn.Parameter(torch.randn(32)) for _ in range(2000))

    def forward(self, x):
        return self.first(x).sum() + torch.cat(list(self.many)).sum()


net = Net()
optimizer = torch.optim.Adam(net.parameters(), foreach=False)
x = torch.randn(64, 256)
for _ in range(3000):
    optimizer.zero_grad()
    net(x).backward()
    optimizer.step()
