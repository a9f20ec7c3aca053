"""Predict the kind of a syntax tree's node from its ancestors, on the standard library's own sources."""

import gc

import torch
from common import BATCH, KindNet, Nodes, parse_arguments
from timing import Stopwatch
from torch.nn import functional
from torch.utils.data import DataLoader, RandomSampler


def train_step(model, optimizer, above, target):
    optimizer.zero_grad()
    loss = functional.cross_entropy(model(above), target)
    loss.backward()
    optimizer.step()
    return loss.detach()


def main():
    args = parse_arguments(__doc__)
    torch.manual_seed(args.seed)
    nodes = Nodes()
    loader = DataLoader(nodes, BATCH, sampler=RandomSampler(nodes, num_samples=args.steps * BATCH))
    model = KindNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, fused=True)
    watch = Stopwatch(args.timing)
    running = 0.0
    for step, (above, target) in enumerate(loader, start=1):
        running += train_step(model, optimizer, above, target)
        if step % 5 == 0:
            gc.collect()  # keep memory flat
        watch.lap()
        if step % 50 == 0:
            print(f"step {step} loss {running.item() / 50:.3f}")
            running = 0.0


if __name__ == "__main__":
    main()
