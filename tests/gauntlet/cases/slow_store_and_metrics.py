"""Samples from a slow store, and after every step a table of metrics that Python fills in, cell by cell."""

import time

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

CLASSES, BATCH = 20, 64


class Stream(IterableDataset):
    """An endless stream that waits ``seconds`` for each sample."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __iter__(self):
        while True:
            if self.seconds:
                time.sleep(self.seconds)
            yield torch.randn(64), int(torch.randint(CLASSES, ()))


def fill(table, scores, labels):
    """Count every prediction of a batch in the table of confusions and in that of the ranks."""
    for row in range(len(labels)):
        label, best = labels[row].item(), scores[row].argmax().item()
        table[label, best] += 1
        if scores[row].topk(5).indices.eq(label).any():
            table[label, CLASSES] += 1


def fill_at_once(table, scores, labels):
    """Count the same by two operators."""
    ones = torch.ones(len(labels))
    table.index_put_((labels, scores.argmax(1)), ones, accumulate=True)
    among = (scores.topk(5).indices == labels[:, None]).any(1).float()
    table[:, CLASSES].index_add_(0, labels, among)


def main():
    args = parser(__doc__, seconds=0.0004).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    loader = DataLoader(Stream(0.0 if args.fixed else args.seconds), batch_size=BATCH)
    count = fill_at_once if args.fixed else fill
    model = nn.Sequential(
        nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, CLASSES)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    table = torch.zeros(CLASSES, CLASSES + 1)
    for features, labels in loader:
        scores = model(features)
        loss = nn.functional.cross_entropy(scores, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        count(table, scores.detach(), labels)
        clock.lap(len(labels))


if __name__ == "__main__":
    main()
