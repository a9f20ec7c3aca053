"""Photograph patches kept as lists of numbers: arguments, samples and network of train.py and fixed.py."""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

SIDE = 32
MICRO_BATCH = 64
ACCUMULATE = 2  # micro-batches per optimizer step


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


def records():
    """Return the patches as JSON holds them: a list of {"pixels": 3,072 integers, "label": integer}."""
    pixels, labels = data.patches()
    flat = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    return [{"pixels": row.tolist(), "label": int(label)} for row, label in zip(flat, labels, strict=True)]


class PatchNet(nn.Module):
    def __init__(self, classes=13):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 24, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(24, 48, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(48, 64, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(64 * 16, classes)

    def forward(self, pixels):
        images = pixels.view(-1, 3, SIDE, SIDE) / 255 - 0.5
        return self.head(torch.flatten(self.features(images), 1))
