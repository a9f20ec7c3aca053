"""Sensor windows kept as lists of numbers, which collation makes into a tensor number by number."""

import random

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader

WINDOWS, CHANNELS = 1024, 8


def windows(length):
    """Return windows of ``length`` readings of each channel as a JSON file would hold them."""
    draw = random.Random(0).random
    values = [draw() for _ in range(100_000)]
    size = length * CHANNELS
    starts = [int(draw() * (len(values) - size)) for _ in range(WINDOWS)]
    return [{"readings": values[start : start + size], "label": start % 5} for start in starts]


def collate(samples):
    readings = torch.tensor([sample["readings"] for sample in samples])
    return readings, torch.tensor([sample["label"] for sample in samples])


def collate_tensors(samples):
    return tuple(torch.stack([sample[key] for sample in samples]) for key in ("readings", "label"))


def as_tensors(records):
    return [{key: torch.tensor(value) for key, value in record.items()} for record in records]


class Trainer:
    def __init__(self, model, loader, clock):
        self.model, self.loader, self.clock = model, loader, clock
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        self.criterion = nn.CrossEntropyLoss()

    def fit(self):
        while True:
            for readings, labels in self.loader:
                self.step(readings, labels)

    def step(self, readings, labels):
        self.optimizer.zero_grad()
        loss = self.criterion(self.model(readings), labels)
        loss.backward()
        self.optimizer.step()
        self.clock.lap(len(labels))


def network(length, width):
    return nn.Sequential(
        nn.Unflatten(1, (CHANNELS, length)),
        nn.Conv1d(CHANNELS, width, 5, padding=2), nn.ReLU(), nn.Conv1d(width, width, 5, padding=2), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, 5),
    )  # fmt: skip


def main():
    args = parser(__doc__, length=256, width=32).parse_args()
    torch.manual_seed(0)
    records = windows(args.length)
    if args.fixed:
        loader = DataLoader(as_tensors(records), 32, shuffle=True, collate_fn=collate_tensors)
    else:
        loader = DataLoader(records, 32, shuffle=True, collate_fn=collate)
    Trainer(network(args.length, args.width), loader, Clock(args)).fit()


if __name__ == "__main__":
    main()
