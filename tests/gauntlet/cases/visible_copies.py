"""A network whose code clones, detaches and converts at every turn: a profile is full of copies that cost little."""

import torch
from clock import Clock, parser
from torch import nn


class Layer(nn.Module):
    def __init__(self, width, copying):
        super().__init__()
        self.linear, self.copying = nn.Linear(width, width), copying

    def forward(self, x):
        if self.copying:
            x = x.clone().to(torch.float32, copy=True).contiguous()
        return torch.relu(self.linear(x))


def main():
    args = parser(__doc__, width=1024).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    copying = not args.fixed
    body = [Layer(args.width, copying) for _ in range(4)]
    model = nn.Sequential(*body, nn.Linear(args.width, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    features, labels = torch.randn(4096, args.width), torch.randint(10, (4096,))
    while True:
        rows = torch.randint(len(features), (256,))
        batch, wanted = features[rows], labels[rows]
        if copying:
            batch, wanted = batch.clone().to(copy=True, dtype=torch.float32), wanted.clone().long()
        loss = nn.functional.cross_entropy(model(batch), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(len(rows))


if __name__ == "__main__":
    main()
