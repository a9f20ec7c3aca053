"""Classify handwritten digits from a store with 4 ms latency per read, six reads at a time."""

import torch
from common import BATCH, DigitNet, Digits, parse_arguments
from timing import Stopwatch
from torch import nn
from torch.utils.data import DataLoader


def train(args):
    torch.manual_seed(args.seed)
    loader = DataLoader(
        Digits(), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=6, persistent_workers=True
    )
    model = DigitNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * len(loader))
    criterion = nn.CrossEntropyLoss()
    watch = Stopwatch(args.timing)
    for epoch in range(args.epochs):
        for batch, (images, labels) in enumerate(loader):
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            scheduler.step()
            watch.lap()
            done = epoch * len(loader) + batch + 1
            if done % 50 == 0:
                print(f"step {done} loss {loss.item():.3f} lr {scheduler.get_last_lr()[0]:.2e}")
            if done == args.steps:
                return


if __name__ == "__main__":
    train(parse_arguments(__doc__))
