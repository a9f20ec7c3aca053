"""A perceptron whose every step is printed, and written with histograms of its weights to a file that is synced."""

import os
import tempfile
from pathlib import Path

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional


class Log:
    """A text file that holds every line on disk as soon as it is written."""

    def __init__(self, path):
        self.file = path.open("w")

    def scalar(self, step, name, value):
        print(f"step {step:6d} {name} {value:.6f}", flush=True)
        self.write(f"{step} {name} {value:.6f}")

    def histogram(self, step, name, values):
        counts, edges = torch.histogram(values.detach().flatten(), bins=30)
        counts = " ".join(f"{count:.0f}" for count in counts.tolist())
        self.write(f"{step} {name} {edges[0]:.4f} {edges[-1]:.4f} {counts}")

    def write(self, line):
        print(line, file=self.file)
        self.file.flush()
        os.fsync(self.file.fileno())


def batches(size):
    """Return endless batches of a made-up task: which half of the input is larger."""
    while True:
        inputs = torch.randn(size, 512)
        yield inputs, (inputs[:, :256].sum(dim=1) > inputs[:, 256:].sum(dim=1)).long()


def train(args, log):
    clock = Clock(args)
    model = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step, (inputs, labels) in enumerate(batches(args.batch)):
        loss = functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not args.fixed:
            log.scalar(step, "loss", loss.item())
            if args.histograms:
                for name, parameter in model.named_parameters():
                    log.histogram(step, name, parameter)
        clock.lap(len(labels))


def main():
    args = parser(__doc__, batch=128, histograms=1).parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        train(args, Log(Path(folder) / "train.log"))


if __name__ == "__main__":
    main()
