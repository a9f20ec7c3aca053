"""Eight workers on two cores, each of which filters its images with as many threads as there are cores."""

import os

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

IMAGES, SIDE = 1024, 64


class Filtered(Dataset):
    """Images that are blurred and sharpened at several scales."""

    def __init__(self, scales):
        self.images = torch.rand(IMAGES, 3, SIDE, SIDE)
        self.scales = scales

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        image = self.images[index]
        for scale in range(self.scales):
            size = 2 * scale + 3
            kernel = torch.full((3, 1, size, size), 1 / size**2)
            blurred = functional.conv2d(image[None], kernel, padding=size // 2, groups=3)[0]
            image = (image + 0.2 * (image - blurred)).clamp(0, 1)
        return image, index % 10


def all_cores(worker):
    """Let a worker compute with all cores, as it would outside a DataLoader."""
    torch.set_num_threads(os.cpu_count() or 1)


def loader_of(args):
    data = Filtered(args.scales)
    if args.fixed:
        return DataLoader(data, 16, shuffle=True, num_workers=1, persistent_workers=True)
    return DataLoader(
        data, 16, shuffle=True, num_workers=args.workers, persistent_workers=True, worker_init_fn=all_cores
    )


def main():
    args = parser(__doc__, workers=8, scales=1).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    loader = loader_of(args)
    model = nn.Sequential(
        nn.Conv2d(3, 24, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
