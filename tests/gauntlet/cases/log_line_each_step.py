"""Decoy: every step prints loss, accuracy, norm of the gradients and rate, which is cheap beside the arithmetic."""

import time

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional

LENGTH, VOCABULARY = 96, 256


class Model(nn.Module):
    def __init__(self, width=192, layers=2):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, width)
        self.read = nn.Sequential(*(self.convolution(width) for _ in range(layers)))
        self.head = nn.Linear(width, VOCABULARY)

    @staticmethod
    def convolution(width):
        return nn.Sequential(nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(width, width, 5), nn.ReLU())

    def forward(self, ids):
        return self.head(self.read(self.embed(ids).transpose(1, 2)).transpose(1, 2))


def passages(size):
    text = torch.randint(0, VOCABULARY, (100_000,))
    while True:
        rows = text[torch.randint(len(text) - LENGTH - 1, (size, 1)) + torch.arange(LENGTH + 1)]
        yield rows[:, :-1], rows[:, 1:]


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    begun = time.perf_counter()
    for step, (inputs, targets) in enumerate(passages(16), start=1):
        logits = model(inputs).flatten(0, 1)
        loss = functional.cross_entropy(logits, targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if not args.fixed:
            rate = step / (time.perf_counter() - begun)
            print(f"step {step} loss {loss:.4f} norm {norm:.3f} steps/s {rate:.2f}", flush=True)
        clock.lap(len(inputs))


if __name__ == "__main__":
    main()
