"""Lines of the standard library: arguments, data set and network of train.py and fixed.py."""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

BATCH = 64
STEPS_PER_EPOCH = 20
LENGTH = 80  # characters of a line


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


class Lines(Dataset):
    """Lines of code and whether they are indented; each worker reads and indexes the sources on first use."""

    def __init__(self, size):
        self.size = size
        self.lines = None

    def __len__(self):
        return self.size

    def index(self):
        """Return the distinct lines of code, shortest first."""
        found = set()
        for source in data.library():
            for line in source.splitlines():
                text = line.encode("ascii", "replace")[:LENGTH]
                if text.strip() and not text.lstrip().startswith(b"#"):
                    found.add(text)
        return sorted(found, key=lambda text: (len(text), text))

    def __getitem__(self, position):
        if self.lines is None:
            self.lines = self.index()
        text = self.lines[position * 7919 % len(self.lines)]  # a prime: spreads the choice over all lengths
        return torch.tensor(list(text.strip().ljust(LENGTH))), float(text.startswith(b" "))


class LineNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.characters = nn.Embedding(128, width)
        self.layers = nn.Sequential(
            nn.Conv1d(width, width, 5, padding=2), nn.ReLU(), nn.Conv1d(width, width, 5, padding=2), nn.ReLU()
        )
        self.head = nn.Linear(width, 1)

    def forward(self, text):
        return self.head(self.layers(self.characters(text).transpose(1, 2)).amax(dim=2)).squeeze(1)
