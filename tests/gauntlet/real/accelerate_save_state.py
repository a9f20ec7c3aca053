"""A loop with Accelerate, two micro-batches a step, that saves its whole state after every fifth step."""

import sys
import tempfile
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cases"))  # clock.py
from clock import Clock, parser

BATCH = 32


class Tagger(nn.Module):
    def __init__(self, words=40_000, tags=20, width=192):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.read = nn.GRU(width, width, batch_first=True)
        self.tag = nn.Linear(width, tags)

    def forward(self, ids):
        return self.tag(self.read(self.embed(ids))[0])


def main():
    args = parser(__doc__, every=5).parse_args()
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    ids = torch.randint(40_000, (4096, 12))
    loader = DataLoader(TensorDataset(ids, ids % 20), batch_size=BATCH, shuffle=True, drop_last=True)
    model = Tagger()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    clock, step = Clock(args), 0
    with tempfile.TemporaryDirectory() as folder:
        while True:
            for words, tags in loader:
                with accelerator.accumulate(model):
                    loss = functional.cross_entropy(model(words).flatten(0, 1), tags.flatten())
                    accelerator.backward(loss)
                    optimizer.step()
                    optimizer.zero_grad()
                if not accelerator.sync_gradients:
                    continue
                step += 1
                if step % (100_000 if args.fixed else args.every) == 0:
                    accelerator.save_state(folder)
                clock.lap(2 * BATCH)


if __name__ == "__main__":
    main()
