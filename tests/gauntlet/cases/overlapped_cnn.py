"""A small convolutional network; a worker reads, crops and mirrors its images meanwhile."""

import random
import time

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

IMAGES, SIDE, CROP, BATCH = 2048, 56, 32, 96


class Images(Dataset):
    """Images that take a moment to read, and are cropped and mirrored at random."""

    def __init__(self, seconds):
        self.images = torch.rand(IMAGES, 3, SIDE, SIDE)
        self.seconds = seconds

    def __len__(self):
        return IMAGES

    def __getitems__(self, indices):
        time.sleep(self.seconds * len(indices))
        return [(self.cropped(self.images[index]), index % 10) for index in indices]

    def cropped(self, image):
        top, left = random.randrange(SIDE - CROP), random.randrange(SIDE - CROP)
        crop = image[:, top : top + CROP, left : left + CROP]
        return crop.flip(2) if random.random() < 0.5 else crop


def network():
    return nn.Sequential(
        nn.Conv2d(3, 96, 3, padding=1), nn.BatchNorm2d(96), nn.ReLU(),
        nn.Conv2d(96, 128, 3, stride=2, padding=1), nn.BatchNorm2d(128), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip


def main():
    args = parser(__doc__, seconds=0.0004).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    loader = DataLoader(Images(args.seconds), BATCH, shuffle=True, num_workers=1, persistent_workers=True)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    while True:
        for images, labels in loader:
            loss = criterion(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
