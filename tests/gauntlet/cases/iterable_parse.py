"""A stream of events that parses a line of JSON per sample, in the main process."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

EVENTS, BATCH = 4096, 64


def write_events(path, fields):
    """Write events with a label and ``fields`` numbers each, and return ``path``."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, EVENTS)
    with path.open("w", encoding="utf-8") as file:
        for label, values in zip(labels, random.normal(size=(EVENTS, fields)).round(4), strict=True):
            named = {f"f{number}": value for number, value in enumerate(values.tolist())}
            file.write(json.dumps({"label": int(label), **named}) + "\n")
    return path


class Lines(IterableDataset):
    """Events as the lines of a file tell them."""

    def __init__(self, path):
        self.path = path

    def __iter__(self):
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                event = json.loads(line)
                label = event.pop("label")
                yield torch.tensor(list(event.values())), label


class Parsed(IterableDataset):
    """The same events, parsed once."""

    def __init__(self, lines):
        self.events = list(lines)

    def __iter__(self):
        yield from self.events


def train(args, path):
    clock = Clock(args)
    lines = Lines(write_events(path, args.fields))
    loader = DataLoader(Parsed(lines) if args.fixed else lines, BATCH)
    model = nn.Sequential(nn.Linear(args.fields, 512), nn.ReLU(), nn.Linear(512, args.width), nn.ReLU())
    head = nn.Linear(args.width, 2)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=1e-3, fused=True)
    while True:
        for values, labels in loader:
            loss = nn.functional.cross_entropy(head(model(values)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clock.lap(len(labels))


def main():
    args = parser(__doc__, fields=100, width=1024).parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        train(args, Path(folder) / "events.jsonl")


if __name__ == "__main__":
    main()
