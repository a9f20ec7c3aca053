"""A deep and narrow network for tables that is trained on few rows at a time."""

import torch
from clock import Clock, parser
from torch import nn

ROWS, COLUMNS, WIDTH, LARGE_BATCH = 8192, 32, 64, 32


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.inner = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))

    def forward(self, x):
        return x + self.inner(self.norm(x))


def batches(table, labels, size):
    """Yield random batches of ``size`` without end."""
    while True:
        rows = torch.randint(len(table), (size,))
        yield table[rows], labels[rows]


def main():
    args = parser(__doc__, batch=8, blocks=32).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    table, targets = torch.randn(ROWS, COLUMNS), torch.randint(2, (ROWS,))
    body = [Residual() for _ in range(args.blocks)]
    model = nn.Sequential(nn.Linear(COLUMNS, WIDTH), *body, nn.Linear(WIDTH, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, fused=True)
    for rows, labels in batches(table, targets, LARGE_BATCH if args.fixed else args.batch):
        loss = nn.functional.cross_entropy(model(rows), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(len(labels))


if __name__ == "__main__":
    main()
