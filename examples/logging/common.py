"""Handwritten digits and a deep perceptron: arguments, loader and network of train.py and fixed.py."""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logs", type=Path, help="folder of the event files (default: a temporary one)")
    timing.add_option(parser)
    return parser.parse_args()


def digit_loader(batch=512):
    images, labels = data.digits()
    dataset = TensorDataset(torch.from_numpy(images).flatten(1), torch.from_numpy(labels))
    return DataLoader(dataset, batch, shuffle=True)


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, hidden):
        return hidden + self.narrow(torch.relu(self.wide(self.norm(hidden))))


class DeepPerceptron(nn.Module):
    def __init__(self, width=160, depth=3):
        super().__init__()
        self.stem = nn.Linear(64, width)
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(depth)))
        self.head = nn.Linear(width, 10)

    def forward(self, pixels):
        return self.head(self.blocks(self.stem(pixels)))
