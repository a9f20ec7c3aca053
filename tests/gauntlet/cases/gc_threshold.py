"""A value network keeps reports in lists, and the collector was told to look at them after every few objects."""

import gc
from collections import deque

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional

SEEN = 2  # a place on the plane


def report(number):
    """Return what the actors saw since the last step: a list per transition."""
    seen = torch.randn(number, SEEN)
    return torch.cat([seen, seen.sin().prod(dim=1, keepdim=True)], dim=1).tolist()


class Learner:
    def __init__(self, args):
        self.args, self.clock = args, Clock(args)
        self.memory = deque(maxlen=args.memory)
        self.model = nn.Sequential(nn.Linear(SEEN, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU())
        self.head = nn.Linear(512, 1)
        self.optimizer = torch.optim.SGD([*self.model.parameters(), *self.head.parameters()], lr=1e-3)

    def learn(self, batch):
        seen, worth = torch.tensor(batch).split([SEEN, 1], dim=1)
        self.optimizer.zero_grad()
        functional.mse_loss(self.head(self.model(seen)), worth).backward()
        self.optimizer.step()

    def run(self):
        while True:
            newest = report(self.args.reported)
            self.memory.extend(newest)
            self.learn(newest[: self.args.batch])
            self.clock.lap(self.args.batch)


def main():
    args = parser(__doc__, threshold=20, reported=8000, memory=200_000, batch=128).parse_args()
    torch.manual_seed(0)
    if args.fixed:
        gc.set_threshold(100_000, 50, 50)
    else:
        gc.set_threshold(args.threshold, 2, 2)  # memory was short once
    Learner(args).run()


if __name__ == "__main__":
    main()
