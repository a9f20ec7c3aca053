"""A classifier whose loop works out precision, recall and more per class in Python after every step."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

CLASSES = 20


def rates(predicted, labels, kind):
    """Return five figures of one class."""
    right = ((predicted == kind) & (labels == kind)).sum().item()
    named = (predicted == kind).sum().item()
    there = (labels == kind).sum().item()
    precision, recall = right / max(named, 1), right / max(there, 1)
    both = 2 * precision * recall / max(precision + recall, 1e-9)
    return {"precision": precision, "recall": recall, "f1": both, "named": named, "there": there}


def metrics(logits, labels, classes):
    """Return five figures of each of the first classes and how often each was confused with which."""
    predicted = logits.argmax(dim=1)
    found = {kind: rates(predicted, labels, kind) for kind in range(classes)}
    confused = {}
    for said, true in zip(predicted.tolist(), labels.tolist(), strict=True):
        if true < classes:
            confused[true, said] = confused.get((true, said), 0) + 1
    return found, confused


def train_step(model, optimizer, pixels, labels):
    optimizer.zero_grad()
    logits = model(pixels)
    functional.cross_entropy(logits, labels).backward()
    optimizer.step()
    return logits.detach()


def main():
    args = parser(__doc__, classes=CLASSES, width=640).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    data = TensorDataset(torch.randn(8192, 256), torch.randint(0, CLASSES, (8192,)))
    loader = DataLoader(data, batch_size=None, sampler=torch.randperm(8192).split(128))
    width = args.width
    model = nn.Sequential(
        nn.Linear(256, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, CLASSES)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    history = []
    while True:
        for pixels, labels in loader:
            logits = train_step(model, optimizer, pixels, labels)
            if not args.fixed:
                history = [*history[-99:], metrics(logits, labels, args.classes)]
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
