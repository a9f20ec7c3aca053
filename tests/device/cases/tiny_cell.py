"""A recurrent cell unrolled over tiny tensors: nearly all of the step is issuing operators."""

import torch
from torch import nn

torch.manual_seed(0)
cell, head = nn.GRUCell(8, 8), nn.Linear(8, 2)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = cell, head

    def forward(self, x):
        state = x.new_zeros(x.shape[1], 8)
        for piece in x:
            state = self.cell(piece, state)
        return self.head(state)


net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
x, y = torch.randn(100, 4, 8), torch.randint(0, 2, (4,))
for _ in range(3000):
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
