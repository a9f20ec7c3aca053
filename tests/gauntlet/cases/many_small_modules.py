"""A model that learns online, one row at a time: a deep part and a small network of its own for every column."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional


class Column(nn.Module):
    """What one column adds to the prediction."""

    def __init__(self, width):
        super().__init__()
        self.rise, self.fall = nn.Linear(1, width), nn.Linear(width, 1)

    def forward(self, value):
        return self.fall(torch.tanh(self.rise(value)))


class Additive(nn.Module):
    def __init__(self, columns, width=8):
        super().__init__()
        self.columns = nn.ModuleList(Column(width) for _ in range(columns))

    def forward(self, rows):
        values = rows.split(1, dim=1)
        return sum(column(value) for column, value in zip(self.columns, values, strict=True))


class Stacked(nn.Module):
    """The same networks with their parameters stacked, so that all columns go through at once."""

    def __init__(self, columns, width=8):
        super().__init__()
        each = [Column(width) for _ in range(columns)]
        self.rise = nn.Parameter(torch.stack([column.rise.weight[:, 0] for column in each]).detach())
        self.shift = nn.Parameter(torch.stack([column.rise.bias for column in each]).detach())
        self.fall = nn.Parameter(torch.stack([column.fall.weight[0] for column in each]).detach())
        self.level = nn.Parameter(torch.stack([column.fall.bias for column in each]).detach())

    def forward(self, rows):
        hidden = torch.tanh(rows[:, :, None] * self.rise + self.shift)
        return ((hidden * self.fall).sum(dim=2, keepdim=True) + self.level).sum(dim=1)


class DeepAndAdditive(nn.Module):
    def __init__(self, additive, columns, deep):
        super().__init__()
        self.additive = additive
        self.deep = nn.Sequential(
            nn.Linear(columns, deep), nn.ReLU(), nn.Linear(deep, deep), nn.ReLU(), nn.Linear(deep, 1)
        )

    def forward(self, rows):
        return self.additive(rows) + self.deep(rows)


def stream(columns):
    """Yield one row after the other, as they come in."""
    while True:
        row = torch.randn(1, columns)
        yield row, row.sin().sum(dim=1, keepdim=True)


def main():
    args = parser(__doc__, columns=80, deep=1536).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    additive = (Stacked if args.fixed else Additive)(args.columns)
    model = DeepAndAdditive(additive, args.columns, args.deep)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for row, target in stream(args.columns):
        optimizer.zero_grad()
        functional.mse_loss(model(row), target).backward()
        optimizer.step()
        clock.lap()


if __name__ == "__main__":
    main()
