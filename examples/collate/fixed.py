"""Classify photograph patches made tensors once, two micro-batches per update."""

import torch
from common import ACCUMULATE, MICRO_BATCH, PatchNet, parse_arguments, records
from timing import Stopwatch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset


class Patches(Dataset):
    def __init__(self, samples):
        self.pixels = torch.tensor([sample["pixels"] for sample in samples], dtype=torch.float32)
        self.labels = torch.tensor([sample["label"] for sample in samples])

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.pixels[index], self.labels[index]


def main():
    args = parse_arguments(__doc__)
    torch.manual_seed(args.seed)
    loader = DataLoader(Patches(records()), MICRO_BATCH, shuffle=True)
    model = PatchNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
    watch = Stopwatch(args.timing)
    step = 0
    for epoch in range(args.epochs):
        for number, (pixels, labels) in enumerate(loader, start=1):
            loss = functional.cross_entropy(model(pixels), labels)
            (loss / ACCUMULATE).backward()
            if number % ACCUMULATE:
                continue
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            watch.lap()
            if step % 50 == 0:
                print(f"epoch {epoch} step {step} loss {loss.item():.3f}")
            if step == args.steps:
                return


if __name__ == "__main__":
    main()
