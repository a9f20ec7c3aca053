"""A checkpoint takes a second: the first after a few steps, to see that it works, then one in a minute."""

import io
import tempfile
import time
from pathlib import Path

import torch
from clock import Clock, parser
from torch import nn

EVERY_S = 60


class SlowFile(io.FileIO):
    """A file on a disk that takes ``seconds`` to write ``size`` bytes."""

    def __init__(self, path, seconds, size):
        super().__init__(path, "w")
        self.pace = seconds / size

    def write(self, data):
        time.sleep(len(data) * self.pace)
        return super().write(data)


def save(model, folder, seconds):
    size = sum(parameter.nbytes for parameter in model.parameters())
    with SlowFile(folder / "last.pt", seconds, size) as file:
        torch.save(model.state_dict(), file)


def train(args, folder):
    clock = Clock(args)
    model = nn.Sequential(
        nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    features, labels = torch.randn(8192, 256), torch.randint(10, (8192,))
    step, due = 0, None if args.fixed else time.monotonic()
    while True:
        rows = torch.randint(len(features), (256,))
        loss = nn.functional.cross_entropy(model(features[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step >= 20 and due is not None and time.monotonic() >= due:
            save(model, folder, args.seconds)
            due = time.monotonic() + EVERY_S
        clock.lap(len(rows))


def main():
    args = parser(__doc__, seconds=1.0).parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        train(args, Path(folder))


if __name__ == "__main__":
    main()
