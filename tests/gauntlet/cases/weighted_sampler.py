"""Rare classes are drawn more often by a sampler that goes through all weights for every sample."""

import random

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset, WeightedRandomSampler

BATCH, CLASSES = 32, 20


class Balanced(Sampler):
    """Draws samples in proportion to their weights."""

    def __init__(self, weights):
        self.weights = weights
        self.positions = range(len(weights))

    def __len__(self):
        return len(self.weights)

    def __iter__(self):
        for _ in self.positions:
            yield random.choices(self.positions, self.weights)[0]


def data_of(samples):
    """Return samples of which most belong to the first classes, and the weight of each."""
    labels = (torch.rand(samples) ** 2 * CLASSES).long()
    counts = torch.bincount(labels, minlength=CLASSES)
    return TensorDataset(torch.randn(samples, 256), labels), (1 / counts[labels]).tolist()


def train_epoch(loader, model, optimizer, clock):
    for features, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(features), labels)
        loss.backward()
        optimizer.step()
        clock.lap(len(labels))
    print(f"loss {loss.item():.3f}", flush=True)


def main():
    args = parser(__doc__, samples=20_000).parse_args()
    torch.manual_seed(0)
    random.seed(0)
    clock = Clock(args)
    data, weights = data_of(args.samples)
    sampler = WeightedRandomSampler(weights, len(weights)) if args.fixed else Balanced(weights)
    loader = DataLoader(data, BATCH, sampler=sampler, num_workers=1, persistent_workers=True, drop_last=True)
    model = nn.Sequential(
        nn.Linear(256, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, CLASSES)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    while True:
        train_epoch(loader, model, optimizer, clock)


if __name__ == "__main__":
    main()
