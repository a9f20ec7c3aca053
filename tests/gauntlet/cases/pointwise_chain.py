"""A network per point of a cloud whose activation function is written out, operator by operator."""

import math

import torch
from clock import Clock, parser
from torch import nn

POINTS = 32768


def gelu(x):
    """GELU with the tanh approximation, as papers print it: ten passes over the activations."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


class Activation(nn.Module):
    def __init__(self, fused):
        super().__init__()
        self.fused = fused

    def forward(self, x):
        return nn.functional.gelu(x, approximate="tanh") if self.fused else gelu(x)


def main():
    args = parser(__doc__, width=64, layers=3).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    layers = [nn.Linear(3, args.width), Activation(args.fixed)]
    for _ in range(args.layers - 1):
        layers += [nn.Linear(args.width, args.width), Activation(args.fixed)]
    model = nn.Sequential(*layers, nn.Linear(args.width, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    points = torch.randn(POINTS, 3)
    distances = points.norm(dim=1, keepdim=True) - 1  # to a ball of radius 1
    while True:
        loss = (model(points) - distances).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(POINTS)


if __name__ == "__main__":
    main()
