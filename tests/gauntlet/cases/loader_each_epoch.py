"""Hard examples are drawn anew every epoch, and a new DataLoader with new workers is made for them."""

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

SAMPLES, BATCH = 8192, 32


class Windows(Dataset):
    """Spectra of windows of a long signal."""

    def __init__(self):
        self.signal = torch.randn(SAMPLES + 512)

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        return torch.fft.rfft(self.signal[index : index + 512]).abs(), self.signal[index] > 0


class HardExamples(Sampler):
    """Some samples per epoch, hard ones more often."""

    def __init__(self, count):
        self.count = count
        self.hardness = torch.ones(SAMPLES)

    def __len__(self):
        return self.count

    def __iter__(self):
        yield from torch.multinomial(self.hardness, self.count).tolist()


def loader_of(data, sampler, persistent):
    return DataLoader(data, BATCH, sampler=sampler, num_workers=2, persistent_workers=persistent)


def epochs(data, sampler, keep):
    """Yield a loader per epoch."""
    kept = loader_of(data, sampler, True) if keep else None
    while True:
        yield kept or loader_of(data, sampler, False)


def train(loaders, model, clock):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    criterion = nn.BCEWithLogitsLoss()
    for epoch, loader in enumerate(loaders):
        for spectra, labels in loader:
            loss = criterion(model(spectra).squeeze(1), labels.float())
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            clock.lap(len(labels))
        if epoch % 20 == 0:
            print(f"epoch {epoch} loss {loss.item():.3f}", flush=True)


def main():
    args = parser(__doc__, batches=20).parse_args()
    torch.manual_seed(0)
    sampler = HardExamples(args.batches * BATCH)
    model = nn.Sequential(
        nn.Linear(257, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1)
    )
    train(epochs(Windows(), sampler, args.fixed), model, Clock(args))


if __name__ == "__main__":
    main()
