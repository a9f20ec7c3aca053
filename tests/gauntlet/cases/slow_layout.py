"""Layers over the moments of series that come moment by moment: each turns its tensor round, and back for the next."""

import torch
from clock import Clock, parser
from torch import nn

MOMENTS, SENSORS = 32, 96


def turned(x):
    """Return a copy with moments and sensors exchanged."""
    return x.transpose(1, 2).contiguous()


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(MOMENTS, MOMENTS)

    def forward(self, x):
        return x + torch.relu(self.linear(x))


class Network(nn.Module):
    def __init__(self, layers, once):
        super().__init__()
        self.body, self.head = nn.ModuleList(Layer() for _ in range(layers)), nn.Linear(SENSORS, 5)
        self.once = once

    def features(self, x):
        """Return (batch, moments, sensors) after all layers, turned round once or for every layer."""
        if self.once:
            return turned(nn.Sequential(*self.body)(turned(x)))
        for layer in self.body:
            x = turned(layer(turned(x)))
        return x

    def forward(self, x):
        return self.head(self.features(x).mean(1))


def main():
    args = parser(__doc__, layers=4, batch=512).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = Network(args.layers, once=args.fixed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    series, labels = torch.randn(4096, MOMENTS, SENSORS), torch.randint(5, (4096,))
    while True:
        for rows in torch.randperm(len(series)).split(args.batch):
            loss = nn.functional.cross_entropy(model(series[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clock.lap(len(rows))


if __name__ == "__main__":
    main()
