"""Every epoch decompresses the same few hundred records again, two micro-batches per update."""

import zlib

import numpy as np
import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

RECORDS, BATCH, ACCUMULATE = 256, 16, 2


class Volumes(Dataset):
    """Scans of ``depth`` slices, compressed; decoded ones are kept if ``keep``."""

    def __init__(self, depth, keep):
        random = np.random.default_rng(0)
        scans = (random.integers(0, 64, (depth, 32, 32), dtype=np.uint8) for _ in range(RECORDS))
        self.records = [zlib.compress(scan.tobytes(), 6) for scan in scans]
        self.shape = (depth, 32, 32)
        self.decoded = {} if keep else None

    def __len__(self):
        return RECORDS

    def decode(self, index):
        return np.frombuffer(zlib.decompress(self.records[index]), dtype=np.uint8).reshape(self.shape)

    def __getitem__(self, index):
        if self.decoded is None:
            scan = self.decode(index)
        else:
            scan = self.decoded[index] = self.decoded[index] if index in self.decoded else self.decode(index)
        return torch.from_numpy(scan[:: self.shape[0] // 8][:8].astype(np.float32) / 64), index % 4


def main():
    args = parser(__doc__, depth=64).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    loader = DataLoader(Volumes(args.depth, args.fixed), BATCH, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(8, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    while True:
        for number, (scans, labels) in enumerate(loader, start=1):
            loss = nn.functional.cross_entropy(model(scans), labels) / ACCUMULATE
            loss.backward()
            if number % ACCUMULATE:
                continue
            optimizer.step()
            optimizer.zero_grad()
            clock.lap(ACCUMULATE * BATCH)


if __name__ == "__main__":
    main()
