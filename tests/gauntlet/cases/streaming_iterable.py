"""A language model on a stream of shards, which the worker shuffles through a buffer; nothing is in its way."""

import random
import tempfile
from pathlib import Path

import numpy as np
import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

SHARDS, SHARD_TOKENS, LENGTH, BATCH, WORDS = 8, 64_000, 64, 8, 1000


class Shards(IterableDataset):
    """Token sequences from ``.npy`` files, endless, shuffled by a buffer; workers share the files out."""

    def __init__(self, folder):
        self.files = sorted(folder.glob("*.npy"))

    def sequences(self):
        worker = get_worker_info()
        mine = self.files[worker.id :: worker.num_workers] if worker else self.files
        while True:
            for file in random.sample(mine, len(mine)):
                yield from np.load(file, mmap_mode="r").reshape(-1, LENGTH)

    def __iter__(self):
        buffer = []
        for tokens in self.sequences():
            buffer.append(torch.from_numpy(tokens.astype(np.int64)))
            if len(buffer) == 256:
                yield buffer.pop(random.randrange(256))


class Model(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True) for _ in range(2)
        )
        self.head = nn.Linear(width, WORDS)

    def forward(self, tokens):
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        state = self.words(tokens)
        for block in self.blocks:
            state = block(state, src_mask=mask, is_causal=True)
        return self.head(state)


def train(folder, clock):
    loader = DataLoader(Shards(folder), BATCH, num_workers=1)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, fused=True)
    for tokens in loader:
        loss = nn.functional.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(len(tokens))


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        for shard in range(SHARDS):
            np.save(Path(name) / f"{shard}.npy", draw.integers(0, WORDS, SHARD_TOKENS, dtype=np.uint16))
        train(Path(name), Clock(args))


if __name__ == "__main__":
    main()
