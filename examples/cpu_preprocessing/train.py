"""Classify photographs: a small convolutional network on augmented JPEG files."""

import random

import numpy as np
import torch
from common import BATCH, SIZE, ConvNet, parse_arguments, photograph_files
from PIL import Image, ImageEnhance, ImageFilter
from timing import Stopwatch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image


class RandomRotation:
    def __init__(self, degrees):
        self.degrees = degrees

    def __call__(self, image):
        return image.rotate(random.uniform(-self.degrees, self.degrees), resample=Image.Resampling.BICUBIC)


class RandomBlur:
    def __call__(self, image):
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 1.5)))


class ColorJitter:
    def __init__(self, amount):
        self.amount = amount

    def __call__(self, image):
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(random.uniform(1 - self.amount, 1 + self.amount))
        return image


class RandomResizedCrop:
    def __init__(self, size, smallest=0.4):
        self.size, self.smallest = size, smallest

    def __call__(self, image):
        side = int(image.width * random.uniform(self.smallest, 1) ** 0.5)
        left, top = random.randint(0, image.width - side), random.randint(0, image.height - side)
        box = (left, top, left + side, top + side)
        return image.resize((self.size, self.size), Image.Resampling.BICUBIC, box=box)


class RandomHorizontalFlip:
    def __call__(self, image):
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


class ToTensor:
    def __call__(self, image):
        return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255).permute(2, 0, 1)


class Photographs(Dataset):
    def __init__(self, transform):
        self.files, self.labels = photograph_files()
        self.transform = transform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        image = Image.open(self.files[index]).convert("RGB")
        return self.transform(image), self.labels[index]


def main():
    args = parse_arguments(__doc__)
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    transform = Compose(
        [
            RandomRotation(20),
            RandomBlur(),
            ColorJitter(0.4),
            RandomResizedCrop(SIZE),
            RandomHorizontalFlip(),
            ToTensor(),
        ]
    )
    loader = DataLoader(Photographs(transform), batch_size=BATCH, shuffle=True, drop_last=True)
    model = ConvNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    watch = Stopwatch(args.timing)
    step = 0
    for epoch in range(args.epochs):
        for images, labels in loader:
            loss = criterion(model(images - 0.5), labels)
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
