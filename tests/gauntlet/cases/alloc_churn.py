"""An embedding learns from its hardest negatives, found among large tensors that are made anew in each step."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional


class Hardest:
    """Finds the nearest item of another class among all items."""

    def __init__(self, items, kinds, batch, reuse):
        self.kinds, self.reuse = kinds, reuse
        if reuse:
            self.distances = torch.empty(batch, items)
            self.other = torch.empty(batch, items)

    @torch.no_grad()
    def of(self, vectors, kinds, table):
        return self.in_place(vectors, kinds, table) if self.reuse else self.anew(vectors, kinds, table)

    def anew(self, vectors, kinds, table):
        distances = 1 - vectors @ table.T
        same = kinds[:, None] == self.kinds
        distances = distances + 10.0 * same.float()
        return distances.argmin(dim=1)

    def in_place(self, vectors, kinds, table):
        torch.mm(vectors, table.T, out=self.distances)
        torch.sub(1, self.distances, out=self.distances)
        torch.eq(kinds[:, None], self.kinds, out=self.other)
        return self.distances.add_(self.other, alpha=10.0).argmin(dim=1)


def main():
    args = parser(__doc__, items=40_000, batch=256, width=32).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    features, kinds = torch.randn(args.items, 64), torch.randint(0, 100, (args.items,))
    table = functional.normalize(torch.randn(args.items, args.width), dim=1)
    hardest = Hardest(args.items, kinds, args.batch, args.fixed)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, args.width))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    while True:
        rows = torch.randint(args.items, (args.batch,))
        vectors = functional.normalize(model(features[rows]), dim=1)
        negatives = table[hardest.of(vectors.detach(), kinds[rows], table)]
        loss = functional.triplet_margin_loss(vectors, table[rows], negatives)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        table[rows] = vectors.detach()
        clock.lap(args.batch)


if __name__ == "__main__":
    main()
