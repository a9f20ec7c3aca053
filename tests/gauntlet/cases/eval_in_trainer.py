"""A trainer with callbacks, one of which evaluates after every epoch, and an epoch is short."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


class Callback:
    def on_batch_end(self, trainer, samples):
        pass

    def on_epoch_end(self, trainer):
        pass


class Laps(Callback):
    def __init__(self, clock):
        self.clock = clock

    def on_batch_end(self, trainer, samples):
        self.clock.lap(samples)


class Accuracy(Callback):
    """Keeps the accuracy on held-out images after each epoch."""

    def __init__(self, loader):
        self.loader, self.history = loader, []

    def on_epoch_end(self, trainer):
        trainer.model.eval()
        right = total = 0
        with torch.no_grad():
            for images, labels in self.loader:
                right += (trainer.model(images).argmax(dim=1) == labels).sum().item()
                total += len(labels)
        trainer.model.train()
        self.history.append(right / total)


class Trainer:
    def __init__(self, model, loader, callbacks):
        self.model, self.loader, self.callbacks = model, loader, callbacks
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def tell(self, event, *told):
        for callback in self.callbacks:
            getattr(callback, "on_" + event)(self, *told)

    def fit(self):
        while True:
            for images, labels in self.loader:
                self.training_step(images, labels)
                self.tell("batch_end", len(labels))
            self.tell("epoch_end")

    def training_step(self, images, labels):
        self.optimizer.zero_grad()
        functional.cross_entropy(self.model(images), labels).backward()
        self.optimizer.step()


def images(rows):
    return TensorDataset(torch.randn(rows, 1, 28, 28), torch.randint(0, 10, (rows,)))


def main():
    args = parser(__doc__, rows=2000).parse_args()
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2),
        nn.ReLU(), nn.Flatten(), nn.Dropout(0.1), nn.Linear(32 * 36, 10),
    )  # fmt: skip
    callbacks = [Laps(Clock(args))]
    if not args.fixed:
        callbacks.append(Accuracy(DataLoader(images(args.rows), batch_size=64)))
    Trainer(model, DataLoader(images(1280), batch_size=64, shuffle=True), callbacks).fit()


if __name__ == "__main__":
    main()
