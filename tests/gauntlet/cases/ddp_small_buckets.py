"""A deep and narrow network on two ranks that exchange the gradient of every tensor by itself."""

import torch
from clock import Clock, parser
from ranks import group
from torch import nn
from torch.nn.parallel import DistributedDataParallel

DEFAULT_MB = 25


class Layer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x):
        return x + torch.relu(self.linear(self.norm(x)))


def train(args):
    clock = Clock(args)
    model = nn.Sequential(nn.Linear(32, 64), *(Layer(64) for _ in range(args.layers)), nn.Linear(64, 10))
    ddp = DistributedDataParallel(model, bucket_cap_mb=DEFAULT_MB if args.fixed else args.bucket_mb)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.01)
    features, labels = torch.randn(4096, 32), torch.randint(10, (4096,))
    while True:
        rows = torch.randint(len(features), (args.batch,))
        loss = nn.functional.cross_entropy(ddp(features[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(args.batch)


def main():
    args = parser(__doc__, layers=32, batch=64, bucket_mb=0.001).parse_args()
    torch.manual_seed(0)
    with group(args):
        train(args)


if __name__ == "__main__":
    main()
