"""Classify photographs: decoded once at half size, augmented as whole batches of tensors."""

import math
import random

import numpy as np
import torch
from common import BATCH, SIZE, ConvNet, parse_arguments, photograph_files
from PIL import Image
from timing import Stopwatch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset


class Photographs(Dataset):
    def __init__(self):
        files, labels = photograph_files()
        self.images = torch.stack([self.decode(file) for file in files])
        self.labels = torch.tensor(labels)

    @staticmethod
    def decode(file):
        image = Image.open(file)
        image.draft("RGB", (128, 128))  # the decoder itself halves the size
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)

    def __len__(self):
        return len(self.images)

    def __getitems__(self, indices):
        return self.images[indices], self.labels[indices]


def augment(images):
    """Rotate, crop, flip, blur and jitter a uint8 batch; return float images of SIZE pixels."""
    count = len(images)
    angle = (torch.rand(count) * 2 - 1) * math.radians(20)
    scale = (torch.rand(count) * 0.6 + 0.4).sqrt()
    flip = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
    shift = (torch.rand(count, 2) * 2 - 1) * (1 - scale[:, None])
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = torch.stack([cos * flip, -sin, shift[:, 0], sin * flip, cos, shift[:, 1]], dim=1)
    grid = functional.affine_grid(rows.view(count, 2, 3), [count, 3, SIZE, SIZE], align_corners=False)
    images = functional.grid_sample(images.float() / 255, grid, align_corners=False)
    softness = torch.rand(count, 1, 1, 1) * 0.6
    images = torch.lerp(images, functional.avg_pool2d(images, 3, stride=1, padding=1), softness)
    brightness, contrast, colour = (torch.rand(3, count, 1, 1, 1) * 0.8 + 0.6).unbind()
    images = images * brightness
    images = torch.lerp(images.mean(dim=(1, 2, 3), keepdim=True), images, contrast)
    return torch.lerp(images.mean(dim=1, keepdim=True), images, colour).clamp(0, 1)


def main():
    args = parse_arguments(__doc__)
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    loader = DataLoader(
        Photographs(), batch_size=BATCH, shuffle=True, drop_last=True, collate_fn=lambda batch: batch
    )
    model = ConvNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    watch = Stopwatch(args.timing)
    step = 0
    for epoch in range(args.epochs):
        for images, labels in loader:
            loss = criterion(model(augment(images) - 0.5), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            watch.lap()
            if step % 50 == 0:
                print(f"epoch {epoch} step {step} loss {loss.item():.3f}")
            if step == args.steps:
                return


if __name__ == "__main__":
    main()
