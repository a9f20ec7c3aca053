"""A trunk with a head for each of several targets; the losses go back one after the other."""

import torch
from clock import Clock, parser
from torch import nn

FEATURES, WIDTH, BATCH = 128, 512, 256


def layers(count, into=WIDTH):
    return [
        layer for number in range(count) for layer in (nn.Linear(WIDTH if number else into, WIDTH), nn.ReLU())
    ]


class Net(nn.Module):
    def __init__(self, targets, shared, own):
        super().__init__()
        self.trunk = nn.Sequential(*layers(shared, FEATURES))
        self.heads = nn.ModuleList(nn.Sequential(*layers(own), nn.Linear(WIDTH, 1)) for _ in range(targets))

    def forward(self, features):
        seen = self.trunk(features)
        return [head(seen).squeeze(1) for head in self.heads]


def backward(losses, at_once):
    if at_once:
        sum(losses).backward()
        return
    for loss in losses[:-1]:
        loss.backward(retain_graph=True)
    losses[-1].backward()


def main():
    args = parser(__doc__, targets=4, shared=6, own=1).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = Net(args.targets, args.shared, args.own)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    features, wanted = torch.randn(20_000, FEATURES), torch.randn(args.targets, 20_000)
    while True:
        rows = torch.randint(len(features), (BATCH,))
        losses = [
            nn.functional.mse_loss(found, true[rows])
            for found, true in zip(model(features[rows]), wanted, strict=True)
        ]
        optimizer.zero_grad()
        backward(losses, args.fixed)
        optimizer.step()
        clock.lap(BATCH)


if __name__ == "__main__":
    main()
