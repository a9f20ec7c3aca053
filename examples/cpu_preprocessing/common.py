"""Photograph classifier: arguments, network and random choices, shared by train.py and fixed.py."""

import argparse
import sys
from pathlib import Path

from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

SIZE = 64  # pixels of the network's input
BATCH = 8


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


def photograph_files():
    """Return the JPEG files and the class of each, 0 to 12."""
    files = sorted(data.photographs().glob("*/*.jpg"))
    classes = sorted({file.parent.name for file in files})
    return files, [classes.index(file.parent.name) for file in files]


def block(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )


class ConvNet(nn.Module):
    def __init__(self, classes=13):
        super().__init__()
        self.features = nn.Sequential(block(3, 24), block(24, 48), block(48, 96), block(96, 96))
        self.head = nn.Linear(96, classes)

    def forward(self, images):
        return self.head(self.features(images).mean(dim=(2, 3)))
