"""A table of measurements and a picture per sample; NumPy made the table float64, and the model followed."""

import itertools

import numpy as np
import torch
from clock import Clock, parser
from torch import nn

SAMPLES, COLUMNS, PIXELS, BATCH = 8192, 256, 256, 256


def tower(inputs, width, layers):
    sizes = [inputs] + [width] * layers
    stack = [nn.Sequential(nn.Linear(one, two), nn.ReLU()) for one, two in itertools.pairwise(sizes)]
    return nn.Sequential(*stack)


class TwoTowers(nn.Module):
    """The tower of the pictures stays in float32; the table's computes in the table's type."""

    def __init__(self, dtype, width, picture_width):
        super().__init__()
        self.table = tower(COLUMNS, width, 3).to(dtype)
        self.pictures = tower(PIXELS, picture_width, 3) if picture_width else None
        self.head = nn.Linear(width + picture_width, 10).to(dtype)

    def forward(self, table, pictures):
        seen = self.table(table)
        if self.pictures:
            seen = torch.cat([seen, self.pictures(pictures).to(table.dtype)], dim=1)
        return self.head(seen)


def main():
    args = parser(__doc__, width=768, picture_width=0).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    random = np.random.default_rng(0)
    table = torch.from_numpy(random.standard_normal((SAMPLES, COLUMNS)))
    if args.fixed:
        table = table.float()
    pictures = torch.randn(SAMPLES, PIXELS)
    labels = torch.from_numpy(random.integers(0, 10, SAMPLES))
    model = TwoTowers(table.dtype, args.width, args.picture_width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    while True:
        order = torch.randperm(SAMPLES)
        for rows in order.split(BATCH):
            loss = nn.functional.cross_entropy(model(table[rows], pictures[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clock.lap(len(rows))


if __name__ == "__main__":
    main()
