"""A recurrent cell written out per timestep, over long sequences of a few sensors."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset


class Sensors(IterableDataset):
    """Endless windows of a few waves; the label is the number of the wave that is loudest."""

    def __init__(self, length, batch):
        self.times, self.batch = torch.arange(length) * 0.1, batch

    def __iter__(self):
        while True:
            loud = torch.rand(self.batch, 4)
            waves = torch.sin(self.times[None, :, None] * torch.tensor([1.0, 1.3, 1.7, 2.1]))
            yield loud[:, None] * waves, loud.argmax(dim=1)


class Reader(nn.Module):
    def __init__(self, fused, width=32):
        super().__init__()
        self.width, self.fused = width, fused
        self.cell = None if fused else nn.GRUCell(4, width)
        self.layer = nn.GRU(4, width, batch_first=True) if fused else None
        self.head = nn.Linear(width, 4)

    def last(self, windows):
        if self.fused:
            return self.layer(windows)[1][0]
        state = windows.new_zeros(len(windows), self.width)
        for time in range(windows.shape[1]):
            state = self.cell(windows[:, time], state)
        return state

    def forward(self, windows):
        return self.head(self.last(windows))


def main():
    args = parser(__doc__, length=200, batch=8).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = Reader(args.fixed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for windows, labels in DataLoader(Sensors(args.length, args.batch), batch_size=None):
        optimizer.zero_grad()
        functional.cross_entropy(model(windows), labels).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        clock.lap(len(labels))


if __name__ == "__main__":
    main()
