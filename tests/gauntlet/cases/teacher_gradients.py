"""A small network learns from a large one, which is called with gradients on although only the small one is trained."""

import contextlib

import torch
from clock import Clock, parser
from torch import nn


def network(width, depth):
    layers = [nn.Linear(256, width), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 20))


def main():
    args = parser(__doc__, width=1000, student=300).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    teacher, student = network(args.width, 3), network(args.student, 2)
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    points = torch.randn(20_000, 256)
    while True:
        batch = points[torch.randint(len(points), (128,))]
        with torch.no_grad() if args.fixed else contextlib.nullcontext():
            wanted = teacher(batch).softmax(-1)
        optimizer.zero_grad()
        nn.functional.kl_div(student(batch).log_softmax(-1), wanted, reduction="batchmean").backward()
        optimizer.step()
        clock.lap(len(batch))


if __name__ == "__main__":
    main()
