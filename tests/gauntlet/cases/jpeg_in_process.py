"""Photographs lie in memory as JPEG bytes; the training process itself decodes, crops and scales them."""

import io

import numpy as np
import torch
from clock import Clock, parser
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

IMAGES, SIDE, CROP, BATCH = 400, 200, 64, 32


def photograph(generator):
    """Return a JPEG of a picture with edges and gradients, as bytes."""
    coarse = torch.rand(3, 10, 10, generator=generator)[None]
    image = nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic")[0].clamp(0, 1)
    file = io.BytesIO()
    Image.fromarray((image.permute(1, 2, 0) * 255).byte().numpy()).save(file, "JPEG", quality=92)
    return file.getvalue()


class Photographs(Dataset):
    def __init__(self, side):
        generator = torch.Generator().manual_seed(0)
        self.files = [photograph(generator) for _ in range(IMAGES)]
        self.side = side

    def __len__(self):
        return IMAGES * 50

    def __getitem__(self, index):
        image = Image.open(io.BytesIO(self.files[index % IMAGES])).convert("RGB")
        left, top = torch.randint(SIDE - self.side, (2,)).tolist()
        image = image.crop((left, top, left + self.side, top + self.side)).resize((CROP, CROP))
        pixels = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1
        return torch.from_numpy(pixels), index % 10


def network(width):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10),
    )  # fmt: skip


def main():
    args = parser(__doc__, width=32).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    workers = {"num_workers": 2, "persistent_workers": True} if args.fixed else {}
    loader = DataLoader(Photographs(160), BATCH, shuffle=True, drop_last=True, **workers)
    model = network(args.width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
