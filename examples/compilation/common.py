"""Paragraphs of ever-changing length: arguments, data set and network of train.py and fixed.py."""

import argparse
import itertools
import random
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import IterableDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

BATCH = 8


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


class Passages(IterableDataset):
    """Endless batches of passages of the language reference: ids, (BATCH, length), length 64 to 512."""

    def __init__(self, seed):
        self.text = torch.tensor(list(data.topics().encode("ascii", "replace")))
        self.choose = random.Random(seed)

    def __iter__(self):
        for number in itertools.count():
            if number % 3 == 0:  # three batches of each length
                length = self.choose.randint(64, 512)
            starts = [self.choose.randrange(len(self.text) - length) for _ in range(BATCH)]
            yield torch.stack([self.text[start : start + length] for start in starts])


class ConvolutionalModel(nn.Module):
    """Predicts the next character from the 8 before it, by causal convolutions."""

    def __init__(self, width=96):
        super().__init__()
        self.characters = nn.Embedding(128, width)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2**number) for number in range(3))
        self.head = nn.Linear(width, 128)

    def forward(self, ids):
        hidden = self.characters(ids).transpose(1, 2)
        for layer in self.layers:
            past = nn.functional.pad(hidden, (layer.dilation[0], 0))
            hidden = hidden + torch.relu(layer(past))
        return self.head(hidden.transpose(1, 2))
