"""Batches cut from arrays by a generator of one's own, heavily augmented between two steps."""

import numpy as np
import torch
from clock import Clock, parser
from torch import nn

RECORDINGS, LENGTH, BATCH, KEPT = 512, 4000, 32, 64


def augmented(waves, random, rounds):
    """Return ``waves`` shifted, filtered and with noise, ``rounds`` times over."""
    for _ in range(rounds):
        spectrum = np.fft.rfft(waves, axis=1)
        phase = np.linspace(0, random.uniform(0, 50), spectrum.shape[1])
        spectrum *= np.exp(-1j * phase) / (1 + np.linspace(0, random.uniform(0, 2), spectrum.shape[1]))
        waves = np.fft.irfft(spectrum, LENGTH, axis=1) + random.normal(0, 0.01, waves.shape)
    return waves.astype(np.float32)


def batches(waves, labels, rounds):
    """Yield augmented batches in random order, epoch after epoch."""
    random = np.random.default_rng(1)
    while True:
        order = random.permutation(len(waves))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            yield augmented(waves[chosen], random, rounds), labels[chosen]


def kept(made):
    """Yield the first batches of ``made`` again and again."""
    stored = [next(made) for _ in range(KEPT)]
    while True:
        yield from stored


def network():
    return nn.Sequential(
        nn.Unflatten(1, (1, LENGTH)), nn.Conv1d(1, 16, 25, stride=4), nn.ReLU(), nn.Conv1d(16, 32, 9, stride=4),
        nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 6),
    )  # fmt: skip


def main():
    args = parser(__doc__, rounds=1).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    random = np.random.default_rng(0)
    waves = random.normal(0, 1, (RECORDINGS, LENGTH)).astype(np.float32)
    made = batches(waves, random.integers(0, 6, RECORDINGS), args.rounds)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step, (wave, label) in enumerate(kept(made) if args.fixed else made):
        loss = nn.functional.cross_entropy(model(torch.from_numpy(wave)), torch.from_numpy(label))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step} loss {loss.item():.3f}", flush=True)
        clock.lap(len(label))


if __name__ == "__main__":
    main()
