"""No workers, which every checklist warns of, but fetching a batch takes a hundredth of the step."""

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

DIGITS, BATCH = 4096, 32


class Digits(Dataset):
    def __init__(self):
        self.images = torch.randint(0, 256, (DIGITS, 1, 28, 28), dtype=torch.uint8)

    def __len__(self):
        return DIGITS

    def __getitem__(self, index):
        return self.images[index].float() / 255, index % 10


def network():
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * 49, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip


def train_one_epoch(model, loader, optimizer, clock):
    for images, labels in loader:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        clock.lap(len(labels))


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    workers = {"num_workers": 2, "persistent_workers": True} if args.fixed else {}
    loader = DataLoader(Digits(), BATCH, shuffle=True, **workers)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    while True:
        train_one_epoch(model, loader, optimizer, clock)


if __name__ == "__main__":
    main()
