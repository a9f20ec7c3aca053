"""Two workers always wait for their store; together they keep up, and finished batches wait in the queue."""

import time

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

POOL, BATCH, FEATURES = 1024, 256, 512


class Stored(IterableDataset):
    """An endless stream of samples, read a batch at a time from a store that answers after ``seconds``."""

    def __init__(self, seconds):
        self.pool = torch.randn(POOL, FEATURES)
        self.seconds = seconds

    def __iter__(self):
        while True:
            time.sleep(self.seconds)
            for index in torch.randint(POOL, (BATCH,)).tolist():
                yield self.pool[index], index % 10


class Trainer:
    def __init__(self, clock):
        self.clock = clock
        self.model = nn.Sequential(
            nn.Linear(FEATURES, 3072), nn.ReLU(), nn.Linear(3072, 3072), nn.ReLU(), nn.Linear(3072, 10)
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)

    def fit(self, loader):
        for features, labels in loader:
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(features), labels).backward()
            self.optimizer.step()
            self.clock.lap(len(labels))


def main():
    args = parser(__doc__, seconds=0.2).parse_args()
    torch.manual_seed(0)
    trainer = Trainer(Clock(args))
    stored = Stored(0.0 if args.fixed else args.seconds)
    trainer.fit(DataLoader(stored, BATCH, num_workers=2, prefetch_factor=8))


if __name__ == "__main__":
    main()
