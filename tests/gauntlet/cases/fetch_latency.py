"""A small classifier whose samples come from a slow store, one after the other in the main process."""

import time

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

SAMPLES = 4096


class Remote(Dataset):
    """Samples of which each takes a round trip of ``seconds``."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.features = torch.randn(SAMPLES, 64)

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        if self.seconds:
            time.sleep(self.seconds)
        return self.features[index], index % 10


def main():
    args = parser(__doc__, seconds=0.005).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    loader = DataLoader(Remote(0.0 if args.fixed else args.seconds), batch_size=16, shuffle=True)
    model = nn.Sequential(
        nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss_of = nn.CrossEntropyLoss()
    while True:
        for features, labels in loader:
            optimizer.zero_grad()
            loss_of(model(features), labels).backward()
            optimizer.step()
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
