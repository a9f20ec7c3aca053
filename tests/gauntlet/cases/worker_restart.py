"""Epochs of 20 steps, and at the start of each the new workers read the index of the data set again."""

import json

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, Dataset

STEPS, BATCH, WORDS = 20, 32, 5000


class Reviews(Dataset):
    """Token lists of reviews; the process that asks first parses the index."""

    def __init__(self, entries):
        texts = torch.randint(0, WORDS, (200, 40), generator=torch.Generator().manual_seed(0)).tolist()
        self.stored = json.dumps({f"review {number}": texts[number % 200] for number in range(entries)})
        self.index = None

    def __len__(self):
        return STEPS * BATCH

    def __getitem__(self, position):
        if self.index is None:
            self.index = list(json.loads(self.stored).values())
        return torch.tensor(self.index[position % len(self.index)]), position % 2


class Classifier(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.recurrent = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, 2)

    def forward(self, tokens):
        return self.head(self.recurrent(self.words(tokens))[0].mean(dim=1))


def main():
    args = parser(__doc__, entries=20_000).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    loader = DataLoader(
        Reviews(args.entries), BATCH, shuffle=True, num_workers=1, persistent_workers=args.fixed
    )
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(1_000_000):
        total = 0.0
        for tokens, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(tokens), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
            clock.lap(len(labels))
        if epoch % 10 == 0:
            print(f"epoch {epoch} loss {total / len(loader):.3f}", flush=True)


if __name__ == "__main__":
    main()
