"""A recommender whose table of items gets a gradient for every row, although a batch touches few."""

import torch
from clock import Clock, parser
from torch import nn


class Recommender(nn.Module):
    def __init__(self, items, width, hidden, sparse):
        super().__init__()
        self.items = nn.Embedding(items, width, sparse=sparse)
        self.deep = nn.Sequential(
            nn.Linear(20 * width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, history):
        return self.deep(self.items(history).flatten(1)).squeeze(1)


def optimizers(model, sparse):
    deep = torch.optim.Adam(model.deep.parameters(), lr=1e-3)
    table = torch.optim.SparseAdam if sparse else torch.optim.Adam
    return deep, table(model.items.parameters(), lr=1e-3)


def main():
    args = parser(__doc__, items=120_000, width=32, hidden=256).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = Recommender(args.items, args.width, args.hidden, args.fixed)
    both = optimizers(model, args.fixed)
    loss_of = nn.BCEWithLogitsLoss()
    while True:
        history = torch.randint(args.items, (256, 20))
        bought = torch.randint(2, (256,)).float()
        loss = loss_of(model(history), bought)
        for optimizer in both:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in both:
            optimizer.step()
        clock.lap(len(bought))


if __name__ == "__main__":
    main()
