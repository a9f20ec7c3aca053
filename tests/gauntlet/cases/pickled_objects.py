"""Workers send the annotations of every image as Python objects, which the main process has to unpickle."""

import random

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

IMAGES, SIDE, BATCH = 1024, 24, 16


def annotations(count):
    """Return the annotations of one image: a box, a name and attributes of each of ``count`` objects."""
    draw = random.random
    return [
        {
            "box": [draw(), draw(), draw(), draw()],
            "name": f"object {number}",
            "attributes": {"occluded": draw() < 0.5, "score": draw(), "polygon": [draw() for _ in range(12)]},
        }
        for number in range(count)
    ]


class Scenes(Dataset):
    def __init__(self, objects):
        random.seed(0)
        self.images = torch.rand(IMAGES, 3, SIDE, SIDE)
        self.annotations = [annotations(objects) for _ in range(64)]

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        return self.images[index], index % 10, self.annotations[index % 64]


def collate(samples):
    """Return images, labels, and the annotations as they are, to look at where a prediction is wrong."""
    images, labels, annotated = zip(*samples, strict=True)
    return torch.stack(images), torch.tensor(labels), list(annotated)


def collate_without(samples):
    return *collate(samples)[:2], None


class Trainer:
    def __init__(self, clock):
        self.clock = clock
        self.model = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
        )  # fmt: skip
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)

    def fit(self, loader):
        while True:
            for images, labels, _annotated in loader:
                self.optimizer.zero_grad()
                nn.functional.cross_entropy(self.model(images), labels).backward()
                self.optimizer.step()
                self.clock.lap(len(labels))


def main():
    args = parser(__doc__, objects=60).parse_args()
    torch.manual_seed(0)
    loader = DataLoader(
        Scenes(args.objects), BATCH, shuffle=True, num_workers=1, persistent_workers=True,
        collate_fn=collate_without if args.fixed else collate,
    )  # fmt: skip
    Trainer(Clock(args)).fit(loader)


if __name__ == "__main__":
    main()
