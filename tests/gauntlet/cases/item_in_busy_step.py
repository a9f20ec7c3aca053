"""Decoy: the loss is read and a progress line rewritten in every step, but the step is all arithmetic."""

import sys

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


class Progress:
    """One line on standard error with the loss of this step and its running mean."""

    def __init__(self):
        self.step, self.mean = 0, 0.0

    def show(self, loss):
        value = loss.item()
        self.step += 1
        self.mean += (value - self.mean) / min(self.step, 100)
        sys.stderr.write(f"\rstep {self.step} loss {value:.4f} mean {self.mean:.4f}")
        sys.stderr.flush()


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock, progress = Clock(args), Progress()
    data = TensorDataset(torch.randn(1024, 3, 32, 32), torch.randint(0, 10, (1024,)))
    loader = DataLoader(data, batch_size=64, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(64, 128, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    while True:
        for images, labels in loader:
            loss = functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not args.fixed:
                progress.show(loss)
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
