"""Classify handwritten digits and keep the parameters that do best on held-out digits."""

import copy

import torch
from common import DigitNet, loaders, parse_arguments
from timing import Stopwatch
from torch import nn

EVALUATE_EVERY = 200


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    correct = total = 0
    for images, labels in loader:
        correct += (model(images).argmax(dim=1) == labels).sum().item()
        total += len(labels)
    model.train()
    return correct / total


def main():
    args = parse_arguments(__doc__)
    torch.manual_seed(args.seed)
    train_loader, valid_loader = loaders(args.seed)
    model = DigitNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=True)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
    watch = Stopwatch(args.timing)
    best, state, step = 0.0, None, 0
    for epoch in range(args.epochs):
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            step += 1
            if step % EVALUATE_EVERY == 0:
                accuracy = evaluate(model, valid_loader)
                if accuracy > best:
                    best, state = accuracy, copy.deepcopy(model.state_dict())
            watch.lap()
            if step == args.steps:
                return state
        print(f"epoch {epoch} loss {loss.item():.3f} best accuracy {best:.3f}")
    return state


if __name__ == "__main__":
    main()
