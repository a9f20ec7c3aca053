"""Slow reads by one loader worker for a model that the data made float64."""

import time

import numpy as np
import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

BATCH = 64


class Store(Dataset):
    """Rows of measurements; each takes ``seconds`` to come."""

    def __init__(self, seconds, dtype, count=4096):
        self.seconds = seconds
        self.rows = np.random.default_rng(0).standard_normal((count, 512)).astype(dtype)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return self.rows[index], index % 10


def train(model, loader, clock):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    while True:
        for rows, labels in loader:
            hidden = model(rows)
            loss = nn.functional.cross_entropy(hidden, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clock.lap(len(labels))


def main():
    args = parser(__doc__, seconds=0.001, workers=1).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    store = Store(args.seconds, "float32" if args.fixed else "float64")
    loader = DataLoader(
        store,
        BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=6 if args.fixed else args.workers,
        persistent_workers=True,
    )
    model = nn.Sequential(
        nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )
    train(model.to(torch.from_numpy(store.rows[:1]).dtype), loader, clock)


if __name__ == "__main__":
    main()
