"""Samples come over a link that all workers share, so that more workers get no more of it."""

import multiprocessing
import time

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

SAMPLES, BATCH = 4096, 32
SAMPLE_BYTES = 150_000  # of a photograph in a bucket


class Link:
    """A token bucket: whoever asks for bytes waits until the link has carried them."""

    def __init__(self, bytes_per_second):
        self.rate = bytes_per_second
        self.free = multiprocessing.Value("d", 0.0)  # when the link is free, monotonic, of all processes

    def carry(self, size):
        with self.free.get_lock():
            self.free.value = done = max(self.free.value, time.monotonic()) + size / self.rate
        time.sleep(max(0.0, done - time.monotonic()))


class Bucket(Dataset):
    def __init__(self, link):
        self.link = link
        self.features = torch.randn(SAMPLES, 256)

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        if self.link:
            self.link.carry(SAMPLE_BYTES)
        return self.features[index], index % 10


def train_step(model, optimizer, features, labels):
    optimizer.zero_grad(set_to_none=True)
    loss = nn.functional.cross_entropy(model(features), labels)
    loss.backward()
    optimizer.step()
    return loss


def main():
    args = parser(__doc__, megabytes=150.0).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    link = None if args.fixed else Link(args.megabytes * 1e6)
    loader = DataLoader(Bucket(link), BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    model = nn.Sequential(
        nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 1024), nn.GELU(), nn.Linear(1024, 10)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    while True:
        for features, labels in loader:
            train_step(model, optimizer, features, labels)
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
