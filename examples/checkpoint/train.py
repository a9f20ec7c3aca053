"""Classify photograph patches with a wide perceptron, saving model and optimizer on the way."""

import tempfile
from pathlib import Path

import torch
from common import Patches, Perceptron, parse_arguments
from timing import Stopwatch
from torch.nn import functional

SAVE_EVERY = 5


def save(folder, step, model, optimizer):
    state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, folder / "last.pt")


def train(args, folder):
    generator = torch.Generator().manual_seed(args.seed)
    torch.manual_seed(args.seed)
    patches = Patches()
    model = Perceptron()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, fused=True)
    watch = Stopwatch(args.timing)
    step = 0
    while step < args.steps:
        pixels, labels = patches.batch(generator)
        loss = functional.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % SAVE_EVERY == 0:
            save(folder, step, model, optimizer)
        if step % 50 == 0:
            print(f"step {step} loss {loss.item():.3f}")
        watch.lap()


def main():
    args = parse_arguments(__doc__)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.checkpoints or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        train(args, folder)


if __name__ == "__main__":
    main()
