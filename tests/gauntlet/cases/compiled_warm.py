"""Healthy: a compiled deep network; compiling takes seconds at the start, and nothing is compiled after that."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, hidden):
        return hidden + self.narrow(functional.gelu(self.wide(self.norm(hidden))))


def network(width, blocks):
    return nn.Sequential(*(Block(width) for _ in range(blocks)), nn.Linear(width, 10))


def batches(size, width):
    rows, labels = torch.randn(4096, width), torch.randint(0, 10, (4096,))
    while True:
        for chosen in torch.randperm(len(rows)).split(size):
            yield rows[chosen], labels[chosen]


def main():
    args = parser(__doc__, blocks=12, width=128, batch=512).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = torch.compile(network(args.width, args.blocks), backend="aot_eager")  # needs no C++ compiler
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for rows, labels in batches(args.batch, args.width):
        loss = functional.cross_entropy(model(rows), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        clock.lap(len(labels))


if __name__ == "__main__":
    main()
