"""A language model that keeps snapshots of its own: the state as arrays, pickled, every few steps."""

import pickle
import tempfile
from pathlib import Path

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional

LENGTH, WORDS = 16, 4000


class Snapshots:
    """Writes the parameters and the optimizer's state to numbered files and keeps the last two of them."""

    def __init__(self, folder, model, optimizer):
        self.folder, self.model, self.optimizer = folder, model, optimizer

    def take(self, step):
        weights = {name: tensor.numpy().copy() for name, tensor in self.model.state_dict().items()}
        with (self.folder / f"{step:08d}.pkl").open("wb") as file:
            pickle.dump({"step": step, "weights": weights, "optimizer": self.optimizer.state_dict()}, file)
        for old in sorted(self.folder.glob("*.pkl"))[:-2]:
            old.unlink()


class Model(nn.Module):
    def __init__(self, vocabulary, width):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.read = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids):
        return self.head(self.read(self.embed(ids))[0])


def passages(text, size):
    while True:
        starts = torch.randint(len(text) - LENGTH - 1, (size, 1))
        rows = text[starts + torch.arange(LENGTH + 1)]
        yield rows[:, :-1], rows[:, 1:]


def train(args, folder):
    torch.manual_seed(0)
    clock = Clock(args)
    text = torch.randint(0, WORDS, (200_000,))
    model = Model(WORDS, 256)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    snapshots = Snapshots(folder, model, optimizer)
    for step, (inputs, targets) in enumerate(passages(text, args.batch), start=1):
        loss = functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not args.fixed and step % args.every == 0:
            snapshots.take(step)
        clock.lap(len(inputs))


def main():
    args = parser(__doc__, every=3, batch=8).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        train(args, Path(folder))


if __name__ == "__main__":
    main()
