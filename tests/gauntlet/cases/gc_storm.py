"""A policy learns from a replay memory of Python objects, and the loop collects garbage by hand to keep memory low."""

import gc
import random
from collections import deque
from dataclasses import dataclass

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional

SEEN, ACTIONS = 32, 4


@dataclass
class Transition:
    seen: list
    action: int
    reward: float


class Walk:
    """A made-up environment: a random walk, and the action that follows it pays."""

    def __init__(self):
        self.position = [0.0] * SEEN

    def step(self):
        self.position = [0.9 * place + random.gauss(0.0, 1.0) for place in self.position]
        action = random.randrange(ACTIONS)
        return Transition(self.position, action, self.position[action])


def sample(memory, size):
    chosen = random.choices(memory, k=size)
    seen = torch.tensor([one.seen for one in chosen])
    return seen, torch.tensor([one.action for one in chosen]), torch.tensor([one.reward for one in chosen])


def learn(model, optimizer, seen, actions, rewards):
    worth = model(seen).gather(1, actions[:, None]).squeeze(1)
    loss = functional.smooth_l1_loss(worth, rewards)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def main():
    args = parser(__doc__, every=20, memory=20_000, batch=128).parse_args()
    torch.manual_seed(0)
    random.seed(0)
    clock, walk = Clock(args), Walk()
    memory = deque((walk.step() for _ in range(args.memory)), maxlen=args.memory)
    model = nn.Sequential(
        nn.Linear(SEEN, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, ACTIONS)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    step = 0
    while True:
        memory.append(walk.step())
        learn(model, optimizer, *sample(memory, args.batch))
        step += 1
        if not args.fixed and step % args.every == 0:
            gc.collect()
        clock.lap(args.batch)


if __name__ == "__main__":
    main()
