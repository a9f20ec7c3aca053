"""Digits read pixel by pixel: arguments, loader and the network around the recurrent layer."""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

WIDTH = 24


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


def pixel_loader(batch=64):
    """Return a loader of sequences of 64 pixels, (batch, 64, 1), and their digits."""
    images, labels = data.digits()
    return DataLoader(
        TensorDataset(torch.from_numpy(images).reshape(-1, 64, 1), torch.from_numpy(labels)),
        batch,
        shuffle=True,
        drop_last=True,
    )


class Reader(nn.Module):
    """Classifies a sequence by the last state of ``recurrent``: (batch, time, 1) to (batch, time, WIDTH)."""

    def __init__(self, recurrent, classes=10):
        super().__init__()
        self.recurrent = recurrent
        self.head = nn.Sequential(
            nn.Linear(WIDTH, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, classes)
        )

    def forward(self, pixels):
        return self.head(self.recurrent(pixels)[:, -1])
