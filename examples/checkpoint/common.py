"""Photograph patches and a wide perceptron: arguments, batches and network of train.py and fixed.py."""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

BATCH = 32


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--checkpoints", type=Path, help="folder of the checkpoints (default: a temporary one)"
    )
    timing.add_option(parser)
    return parser.parse_args()


class Patches:
    """All patches in memory; a batch is a random choice of them."""

    def __init__(self):
        pixels, labels = data.patches()
        self.pixels = torch.from_numpy(pixels).flatten(1).float() / 255 - 0.5
        self.labels = torch.from_numpy(labels)

    def batch(self, generator):
        chosen = torch.randint(len(self.labels), (BATCH,), generator=generator)
        return self.pixels[chosen], self.labels[chosen]


class Perceptron(nn.Sequential):
    """8.4 million parameters: with Adam's two moments a checkpoint is 100 MB."""

    def __init__(self, classes=13):
        super().__init__(
            nn.Linear(3072, 2048), nn.GELU(), nn.Linear(2048, 1024), nn.GELU(), nn.Linear(1024, classes)
        )
