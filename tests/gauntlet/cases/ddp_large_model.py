"""A model of many parameters on two ranks, which exchange gradients after every small batch of an accumulation."""

import contextlib

import torch
from clock import Clock, parser
from ranks import group
from torch import nn
from torch.nn.parallel import DistributedDataParallel

BATCH = 4


def micro_batch(ddp, features, labels, parts, exchange):
    with contextlib.nullcontext() if exchange else ddp.no_sync():
        (nn.functional.cross_entropy(ddp(features), labels) / parts).backward()


def train(args):
    clock = Clock(args)
    width = args.width
    body = [nn.Sequential(nn.Linear(width, width), nn.ReLU()) for _ in range(3)]
    ddp = DistributedDataParallel(nn.Sequential(*body, nn.Linear(width, 100)))
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.01)
    while True:
        for part in range(args.parts):
            last = part + 1 == args.parts
            features, labels = torch.randn(BATCH, width), torch.randint(100, (BATCH,))
            micro_batch(ddp, features, labels, args.parts, exchange=last or not args.fixed)
        optimizer.step()
        optimizer.zero_grad()
        clock.lap(BATCH * args.parts)


def main():
    args = parser(__doc__, width=1024, parts=4).parse_args()
    torch.manual_seed(0)
    with group(args):
        train(args)


if __name__ == "__main__":
    main()
