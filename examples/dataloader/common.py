"""Statements of the standard library: arguments, data set and network of train.py and fixed.py."""

import argparse
import ast
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # examples/: data.py, timing.py
import data
import timing

BATCH = 64
STEPS_PER_EPOCH = 20
LENGTH = 80  # characters of a line


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--steps", type=int, help="stop after this many steps")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


class Statements(Dataset):
    """Statements' first lines and whether they assign; a process parses the sources on first use."""

    def __init__(self, size, modules=60):
        self.size, self.modules = size, modules
        self.statements = None

    def __len__(self):
        return self.size

    def parse(self):
        found = {}
        for source in data.library(self.modules):
            lines = source.splitlines()
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.stmt):
                    text = lines[node.lineno - 1].strip().encode("ascii", "replace")[:LENGTH]
                    found[text] = isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign))
        return sorted(found.items())

    def __getitem__(self, position):
        if self.statements is None:
            self.statements = self.parse()
        # 7919 is prime: the samples lie all over the sorted statements
        text, assigns = self.statements[position * 7919 % len(self.statements)]
        return torch.tensor(list(text.ljust(LENGTH))), assigns


class StatementNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.characters = nn.Embedding(128, width)
        self.layers = nn.Sequential(
            nn.Conv1d(width, width, 5, padding=2), nn.ReLU(), nn.Conv1d(width, width, 5, padding=2), nn.ReLU()
        )
        self.head = nn.Linear(width, 1)

    def forward(self, text):
        return self.head(self.layers(self.characters(text).transpose(1, 2)).amax(dim=2)).squeeze(1)
