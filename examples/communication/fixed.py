"""Classify photograph patches on two processes, four micro-batches per update."""

import contextlib

import torch
from common import ACCUMULATE, SmallVGG, parse_arguments, patch_loader, process_group
from timing import Stopwatch
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel


def train(args, rank):
    torch.manual_seed(args.seed)
    loader = patch_loader(args.seed)
    model = DistributedDataParallel(SmallVGG())
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    watch = Stopwatch(args.timing)
    step = 0
    for epoch in range(args.epochs):
        loader.sampler.set_epoch(epoch)
        for number, (images, labels) in enumerate(loader, start=1):
            last = number % ACCUMULATE == 0
            with contextlib.nullcontext() if last else model.no_sync():
                loss = functional.cross_entropy(model(images), labels)
                (loss / ACCUMULATE).backward()
            if not last:
                continue
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            watch.lap()
            if step % 20 == 0 and rank == 0:
                print(f"epoch {epoch} step {step} loss {loss.item():.3f}")
            if step == args.steps:
                return


def main():
    args = parse_arguments(__doc__)
    with process_group(args) as rank:
        train(args, rank)


if __name__ == "__main__":
    main()
