"""A network that reads its series one moment at a time, and logs every step to a file on a network disk."""

import logging
import os
import tempfile
import time
from pathlib import Path

import torch
from clock import Clock, parser
from torch import nn

LENGTH, BATCH, WIDTH, HIDDEN = 40, 32, 64, 1024


class SyncedHandler(logging.FileHandler):
    """Waits until the disk has confirmed the line, which takes ``seconds``."""

    def __init__(self, path, seconds):
        super().__init__(path)
        self.seconds = seconds

    def flush(self):
        super().flush()
        if self.stream:
            os.fsync(self.stream.fileno())
            time.sleep(self.seconds)


class Network(nn.Module):
    """A gated cell over each moment, and the mean over all; no moment needs another, so one call could do."""

    def __init__(self, by_moment):
        super().__init__()
        self.value, self.gate = nn.Linear(8, WIDTH), nn.Linear(8, WIDTH)
        self.mixed = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Sequential(
            nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2)
        )
        self.by_moment = by_moment

    def cell(self, values):
        return torch.relu(self.mixed(torch.tanh(self.value(values)) * torch.sigmoid(self.gate(values))))

    def states(self, series):
        return torch.stack([self.cell(values) for values in series]) if self.by_moment else self.cell(series)

    def forward(self, series):
        return self.head(self.states(series).mean(0))


def logger_to(folder, seconds):
    log = logging.getLogger("train")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(SyncedHandler(folder / "train.log", seconds))
    return log


def train(args, log):
    clock = Clock(args)
    model = Network(by_moment=not (args.fixed or args.one_call))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    step = 0
    while True:
        series = torch.randn(LENGTH, BATCH, 8)
        loss = nn.functional.cross_entropy(model(series), (series.sum((0, 2)) > 0).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if not args.fixed:
            log.info("step %d loss %.4f", step, loss.item())
        clock.lap(BATCH)


def main():
    made = parser(__doc__, seconds=0.006)
    made.add_argument("--one-call", action="store_true", help="take the first cause away")
    args = made.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        train(args, logger_to(Path(folder), args.seconds))


if __name__ == "__main__":
    main()
