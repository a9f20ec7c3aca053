"""A classifier of documents whose forward pass pools and normalises one document of the batch after the other."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

WORDS, LONGEST = 5000, 24


class Classifier(nn.Module):
    def __init__(self, together, width, layers):
        super().__init__()
        self.together = together
        self.embed = nn.Embedding(WORDS, width)
        self.read = nn.Sequential(*(self.layer(width) for _ in range(layers)))
        self.score = nn.Linear(width, 1)
        self.head = nn.Linear(width, 20)

    @staticmethod
    def layer(width):
        return nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))

    def pool_each(self, vectors, scores, lengths):
        """Return the attention-weighted mean of each document's words."""
        pooled = []
        for row, score, length in zip(vectors, scores, lengths.tolist(), strict=True):
            weights = torch.softmax(score[:length], dim=0)
            pooled.append(functional.normalize(weights @ row[:length], dim=0))
        return torch.stack(pooled)

    def pool_all(self, vectors, scores, lengths):
        """Return the same for all documents at once."""
        beyond = torch.arange(vectors.shape[1]) >= lengths[:, None]
        weights = torch.softmax(scores.masked_fill(beyond, float("-inf")), dim=1)
        return functional.normalize((weights[:, None] @ vectors).squeeze(1), dim=1)

    def forward(self, ids, lengths):
        vectors = self.read(self.embed(ids))
        scores = self.score(vectors).squeeze(2)
        pool = self.pool_all if self.together else self.pool_each
        return self.head(pool(vectors, scores, lengths))


def documents(number):
    lengths = torch.randint(4, LONGEST + 1, (number,)).tolist()
    return [(torch.randint(1, WORDS, (length,)), length % 20) for length in lengths]


def collate(samples):
    ids = nn.utils.rnn.pad_sequence([ids for ids, _ in samples], batch_first=True)
    return ids, torch.tensor([len(ids) for ids, _ in samples]), torch.tensor([label for _, label in samples])


def train_epoch(model, loader, optimizer, clock):
    for ids, lengths, labels in loader:
        loss = functional.cross_entropy(model(ids, lengths), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(len(labels))


def main():
    args = parser(__doc__, batch=64, width=96, layers=1).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    loader = DataLoader(documents(4096), batch_size=args.batch, shuffle=True, collate_fn=collate)
    model = Classifier(args.fixed, args.width, args.layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    while True:
        train_epoch(model, loader, optimizer, clock)


if __name__ == "__main__":
    main()
