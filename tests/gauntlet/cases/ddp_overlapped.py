"""Two ranks with few parameters and much arithmetic: what they exchange is small beside the step."""

import torch
from clock import Clock, parser
from ranks import group
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def train(args):
    clock = Clock(args)
    convolutions = [nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    ddp = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.01)
    while True:
        pictures, labels = torch.randn(16, 3, 48, 48), torch.randint(10, (16,))
        loss = nn.functional.cross_entropy(ddp(pictures), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(len(labels))


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    with group(args):
        train(args)


if __name__ == "__main__":
    main()
