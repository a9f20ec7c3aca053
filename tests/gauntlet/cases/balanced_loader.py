"""A worker that waits for its store nearly as long as the model takes for a batch, and keeps up."""

import time

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

SAMPLES, FEATURES, BATCH = 8192, 256, 512


class Rows(Dataset):
    """Rows of a store that takes its time for each, and one round trip for a batch."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.rows = torch.randn(SAMPLES, FEATURES)

    def __len__(self):
        return SAMPLES

    def __getitems__(self, indices):
        time.sleep(self.seconds * len(indices))
        return [(self.rows[index], index % 10) for index in indices]


def train_step(batch, model, optimizer):
    features, labels = batch
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(features), labels).backward()
    optimizer.step()
    return len(labels)


def main():
    args = parser(__doc__, seconds=0.0003).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    loader = DataLoader(Rows(args.seconds), BATCH, shuffle=True, num_workers=1, persistent_workers=True)
    model = nn.Sequential(
        nn.Linear(FEATURES, 3072), nn.ReLU(), nn.Linear(3072, 3072), nn.ReLU(), nn.Linear(3072, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    while True:
        for batch in loader:
            clock.lap(train_step(batch, model, optimizer))


if __name__ == "__main__":
    main()
