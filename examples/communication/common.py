"""Photograph patches for several processes: arguments, loader and network of train.py and fixed.py."""

import argparse
import contextlib
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

MICRO_BATCH = 16
ACCUMULATE = 4  # micro-batches per optimizer step


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


@contextlib.contextmanager
def process_group(args):
    """Join the other processes for a ``with`` block, which gets this one's rank; only rank 0 keeps ``--timing``."""
    if not dist.is_torchelastic_launched():
        sys.exit("Start it with torchrun --nproc-per-node 2")
    dist.init_process_group("gloo")
    if dist.get_rank() > 0:
        args.timing = None
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def patch_loader(seed):
    """Return a loader over this process's part of the patches: pixels (MICRO_BATCH, 3, 32, 32) and labels."""
    pixels, labels = data.patches()
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - 0.5
    dataset = TensorDataset(images.contiguous(), torch.from_numpy(labels))
    sampler = DistributedSampler(dataset, seed=seed, drop_last=True)
    return DataLoader(dataset, MICRO_BATCH, sampler=sampler, drop_last=True)


class SmallVGG(nn.Module):
    """A little convolution and a wide classifier: 3.2 million parameters, nearly all of them in two layers."""

    def __init__(self, classes=13, width=1024):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(32 * 64, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, classes),
        )

    def forward(self, images):
        return self.classifier(self.features(images).flatten(1))
