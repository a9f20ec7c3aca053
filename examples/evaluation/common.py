"""Handwritten digits, split in two: arguments, loaders and network of train.py and fixed.py."""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

BATCH = 32


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


def loaders(seed):
    """Return the loaders of 1,197 training and 600 validation digits."""
    images, labels = data.digits()
    whole = TensorDataset(torch.from_numpy(images)[:, None], torch.from_numpy(labels))
    train, valid = random_split(whole, [1197, 600], generator=torch.Generator().manual_seed(seed))
    return DataLoader(train, BATCH, shuffle=True, drop_last=True), DataLoader(valid, BATCH)


class DigitNet(nn.Module):
    def __init__(self, width=48, depth=8):
        super().__init__()
        layers = [nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        for _ in range(depth):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width * 64, 10)

    def forward(self, images):
        return self.head(self.features(images).flatten(1))
