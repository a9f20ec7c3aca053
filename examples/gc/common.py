"""Syntax trees of the standard library: arguments, data set and network of train.py and fixed.py."""

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

DEPTH = 12  # ancestors a prediction sees
BATCH = 128
KINDS = sorted(
    {kind.__name__ for kind in vars(ast).values() if isinstance(kind, type) and issubclass(kind, ast.AST)}
)


def parse_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    timing.add_option(parser)
    return parser.parse_args()


class Nodes(Dataset):
    """Nodes of parsed modules. Every node knows its parent, every parent its children."""

    def __init__(self, modules=30):
        self.numbers = {kind: number for number, kind in enumerate(KINDS, start=1)}
        self.nodes = []
        for source in data.library(modules):
            for node in ast.walk(ast.parse(source)):
                for child in ast.iter_child_nodes(node):
                    child.parent = node
                    self.nodes.append(child)

    def __len__(self):
        return len(self.nodes)

    def __getitem__(self, index):
        """Return the kinds of the node's ancestors, nearest first, 0 above the module, and the node's own."""
        node = self.nodes[index]
        target = self.numbers[type(node).__name__]
        above = []
        while hasattr(node, "parent") and len(above) < DEPTH:
            node = node.parent
            above.append(self.numbers[type(node).__name__])
        return torch.tensor(above + [0] * (DEPTH - len(above))), target


class KindNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.kinds = nn.Embedding(len(KINDS) + 1, width)
        self.layers = nn.Sequential(
            nn.Linear(DEPTH * width, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 512)
        )
        self.head = nn.Linear(512, len(KINDS) + 1)

    def forward(self, above):
        return self.head(torch.relu(self.layers(self.kinds(above).flatten(1))))
