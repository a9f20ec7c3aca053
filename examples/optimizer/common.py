"""An ensemble of 500 small networks on digits: arguments, loader and model of train.py and fixed.py."""

import argparse
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

MEMBERS = 500


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


def digit_loader(batch=32):
    images, labels = data.digits()
    dataset = TensorDataset(torch.from_numpy(images).flatten(1), torch.from_numpy(labels))
    return DataLoader(dataset, batch, shuffle=True, drop_last=True)


class Ensemble(nn.Module):
    """Perceptrons with parameters of their own, 2,000 tensors in all, computed as batched products."""

    def __init__(self, width=8, classes=10):
        super().__init__()
        members = [nn.Sequential(nn.Linear(64, width), nn.Linear(width, classes)) for _ in range(MEMBERS)]
        self.members = nn.ModuleList(members)

    def stacked(self, layer, name):
        return torch.stack([getattr(member[layer], name) for member in self.members])

    def forward(self, pixels):
        """Return the scores of every member: (batch, 64) to (MEMBERS, batch, classes)."""
        weight, bias = self.stacked(0, "weight"), self.stacked(0, "bias")
        hidden = torch.relu(torch.matmul(pixels, weight.transpose(1, 2)) + bias[:, None])
        weight, bias = self.stacked(1, "weight"), self.stacked(1, "bias")
        return torch.baddbmm(bias[:, None], hidden, weight.transpose(1, 2))
