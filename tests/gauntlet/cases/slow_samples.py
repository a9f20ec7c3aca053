"""One read in fifty takes 40 times as long, and workers hand over their batches in order."""

import time

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

SAMPLES, BATCH = 2048, 8


class Replicated(Dataset):
    """Samples of a store in which every ``rare``-th lies on a replica that is ``factor`` times as slow."""

    def __init__(self, seconds, factor, rare=50):
        self.seconds, self.factor, self.rare = seconds, factor, rare
        self.features = torch.randn(SAMPLES, 512)

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        time.sleep(self.seconds * (self.factor if index % self.rare == 0 else 1))
        return self.features[index], index % 10


def network():
    return nn.Sequential(
        nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )


def epoch(loader, model, optimizer, clock):
    model.train()
    for features, labels in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(features), labels).backward()
        optimizer.step()
        clock.lap(len(labels))


def main():
    args = parser(__doc__, seconds=0.001, factor=40.0).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    store = Replicated(args.seconds, 1.0 if args.fixed else args.factor)
    loader = DataLoader(store, BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    while True:
        epoch(loader, model, optimizer, clock)


if __name__ == "__main__":
    main()
