"""One worker waits for a store about twice as long per batch as the step computes."""

import time

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

SAMPLES, BATCH = 4096, 16


class Remote(Dataset):
    def __init__(self, seconds):
        self.seconds = seconds
        self.features = torch.randn(SAMPLES, 512)

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return self.features[index], self.features[index, :10].argmax()


def closure_of(model, optimizer, features, labels):
    def closure():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(features), labels)
        loss.backward()
        return loss

    return closure


def main():
    args = parser(__doc__, seconds=0.0015).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    workers = 3 if args.fixed else 1
    loader = DataLoader(Remote(args.seconds), BATCH, num_workers=workers, persistent_workers=True)
    model = nn.Sequential(
        nn.Linear(512, 1536), nn.ReLU(), nn.Linear(1536, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-4)
    while True:
        for features, labels in loader:
            optimizer.step(closure_of(model, optimizer, features, labels))
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
