"""A convolutional classifier that saves model and optimizer every few steps and waits until the disk has them."""

import os
import tempfile
from pathlib import Path

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.second = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.hidden = nn.Linear(64 * 8 * 8, 512)
        self.head = nn.Linear(512, 10)

    def forward(self, images):
        features = functional.relu(self.second(functional.relu(self.first(images))))
        return self.head(functional.relu(self.hidden(features.flatten(1))))


def save(path, step, model, optimizer):
    """Write a new file and put it in the old one's place, so that one of them is always whole."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        torch.save({"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def train(args, path):
    torch.manual_seed(0)
    clock = Clock(args)
    images, labels = torch.randn(2048, 3, 32, 32), torch.randint(0, 10, (2048,))
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    step = 0
    while True:
        for rows in torch.randperm(len(images)).split(64):
            loss = functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            if not args.fixed and step % args.every == 0:
                save(path, step, model, optimizer)
            clock.lap(len(rows))


def main():
    args = parser(__doc__, every=5).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        train(args, Path(folder) / "last.pt")


if __name__ == "__main__":
    main()
