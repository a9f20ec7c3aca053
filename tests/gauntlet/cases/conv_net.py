"""A convolutional network on small pictures that are all in memory."""

import torch
from clock import Clock, parser
from torch import nn


def network():
    layers, channels = [], 3
    for width, stride in ((48, 1), (48, 2), (96, 1), (96, 2)):
        layers += [nn.Conv2d(channels, width, 3, stride=stride, padding=1), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def train_epoch(model, optimizer, pictures, labels, clock):
    """Train on all pictures once; return the mean loss."""
    total = torch.zeros(())
    parts = torch.randperm(len(pictures)).split(16)
    for rows in parts:
        loss = nn.functional.cross_entropy(model(pictures[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach()
        clock.lap(len(rows))
    return total.item() / len(parts)


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    pictures, labels = torch.randn(1024, 3, 32, 32), torch.randint(10, (1024,))
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    epoch = 0
    while True:
        epoch += 1
        print(f"epoch {epoch} loss {train_epoch(model, optimizer, pictures, labels, clock):.3f}")


if __name__ == "__main__":
    main()
