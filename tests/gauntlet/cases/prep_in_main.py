"""A small convolutional network on photographs that are resized and augmented with NumPy in the main process."""

import numpy as np
import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

IMAGES, SIDE = 512, 32


def resized(image, side):
    """Return ``image`` at ``side`` by bilinear interpolation."""
    at = np.linspace(0, image.shape[0] - 1.001, side)
    low = at.astype(int)
    part = (at - low).astype(np.float32)
    rows = image[low] * (1 - part[:, None, None]) + image[low + 1] * part[:, None, None]
    return rows[:, low] * (1 - part[:, None]) + rows[:, low + 1] * part[:, None]


def augmented(image, random):
    """Return a crop of ``image``, perhaps mirrored, with another brightness and contrast."""
    size = int(image.shape[0] * random.uniform(0.7, 1.0))
    top, left = random.integers(0, image.shape[0] - size + 1, 2)
    image = resized(image[top : top + size, left : left + size].astype(np.float32), SIDE)
    if random.random() < 0.5:
        image = image[:, ::-1]
    mean = image.mean()
    return (image - mean) * random.uniform(0.6, 1.4) + mean + random.uniform(-30, 30)


class Photographs(Dataset):
    """Photographs of ``side`` pixels; every sample mixes ``views`` views of one."""

    def __init__(self, side, views):
        self.random = np.random.default_rng(0)
        self.images = self.random.integers(0, 256, (IMAGES, side, side, 3), dtype=np.uint8)
        self.views = views

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        views = [augmented(self.images[index], self.random) for _ in range(self.views)]
        image = np.mean(views, axis=0, dtype=np.float32) / 255 - 0.5
        return torch.from_numpy(image.transpose(2, 0, 1).copy()), index % 10


def prepared(photographs):
    """Return the samples of ``photographs`` made once, before training."""
    return [photographs[index] for index in range(len(photographs))]


def network():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def main():
    args = parser(__doc__, side=96, views=1).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    photographs = Photographs(args.side, args.views)
    data = prepared(photographs) if args.fixed else photographs
    loader = DataLoader(data, 32, shuffle=True, drop_last=True)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for epoch in range(1_000_000):
        for images, labels in loader:
            loss = functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clock.lap(len(labels))
        if epoch % 10 == 0:
            print(f"epoch {epoch} loss {loss.item():.3f}", flush=True)


if __name__ == "__main__":
    main()
