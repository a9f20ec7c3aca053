"""A worker that waits for its store nearly as long as the model takes for a batch, and keeps up."""

import time

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

SAMPLES, FEATURES, BATCH = 4096, 256, 64


class Rows(Dataset):
    """Rows of a store that takes a round trip for each."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.rows = torch.randn(SAMPLES, FEATURES)

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return self.rows[index], index % 10


def train_step(batch, model, optimizer):
    features, labels = batch
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(features), labels).backward()
    optimizer.step()
    return len(labels)


def main():
    args = parser(__doc__, seconds=0.0004).parse_args()
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
