"""Two workers wait for a slow store nearly all the time, but the model takes longer and never waits for them."""

import time

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

CLIPS, BATCH, BINS = 512, 16, 65


class Clips(Dataset):
    """Spectrograms of clips in a store that takes a round trip for each, or in memory."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.spectrograms = torch.randn(CLIPS, 1, BINS, BINS)

    def __len__(self):
        return CLIPS

    def __getitem__(self, index):
        if self.seconds:
            time.sleep(self.seconds)
        return self.spectrograms[index], index % 10


def network(width):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    )  # fmt: skip


def main():
    args = parser(__doc__, seconds=0.003, width=64).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    clips = Clips(0.0 if args.fixed else args.seconds)
    loader = DataLoader(clips, BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    model = network(args.width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    while True:
        for spectrograms, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(spectrograms), labels).backward()
            optimizer.step()
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
