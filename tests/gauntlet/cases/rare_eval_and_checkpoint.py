"""Healthy: a convolutional network that evaluates and saves so rarely that it costs less than 2 percent."""

import tempfile
from pathlib import Path

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

EVALUATE_EVERY, SAVE_EVERY = 40, 60  # steps


def network():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(64, 64, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip


def images(rows):
    return TensorDataset(torch.randn(rows, 3, 32, 32), torch.randint(0, 10, (rows,)))


@torch.inference_mode()
def accuracy(model, loader):
    model.eval()
    right = sum((model(images).argmax(dim=1) == labels).sum().item() for images, labels in loader)
    model.train()
    return right / len(loader.dataset)


def train(args, folder):
    torch.manual_seed(0)
    clock = Clock(args)
    train_loader = DataLoader(images(2048), batch_size=64, shuffle=True)
    valid_loader = DataLoader(images(64), batch_size=64)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    step = 0
    while True:
        for pictures, labels in train_loader:
            optimizer.zero_grad()
            functional.cross_entropy(model(pictures), labels).backward()
            optimizer.step()
            step += 1
            if step % EVALUATE_EVERY == 0:
                print(f"step {step} accuracy {accuracy(model, valid_loader):.3f}")
            if step % SAVE_EVERY == 0:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
                torch.save(state, folder / "last.pt")
            clock.lap(len(labels))


def main():
    args = parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        train(args, Path(folder))


if __name__ == "__main__":
    main()
