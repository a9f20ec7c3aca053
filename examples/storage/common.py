"""Handwritten digits behind a slow store: what train.py and fixed.py share."""

import argparse
import io
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

BATCH = 16
LATENCY_S = 0.004  # of one read from the store; simulated, see RemoteFile


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


class RemoteFile(io.FileIO):
    """A local file that answers as late as a file in an object store or on a busy network disk.

    The latency is simulated: every read sleeps LATENCY_S before it reads.
    """

    def readall(self):
        time.sleep(LATENCY_S)
        return super().readall()


class Digits(Dataset):
    def __init__(self):
        self.files = sorted(data.digit_files().glob("*/*.png"))

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        path = self.files[index]
        with RemoteFile(path) as file:
            image = Image.open(io.BytesIO(file.readall()))
        pixels = np.asarray(image, dtype=np.float32) / 255
        return torch.from_numpy(pixels)[None], int(path.parent.name)


class DigitNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(12))
        self.head = nn.Linear(width * 64, 10)

    def forward(self, images):
        hidden = torch.relu(self.stem(images))
        for block in self.blocks:
            hidden = hidden + torch.relu(block(hidden))
        return self.head(hidden.flatten(1))
