"""Features of a graph's nodes, smoothed over their neighbours in every forward pass, and a small network on them."""

import torch
from clock import Clock, parser
from torch import nn

NODES, NEIGHBOURS, FEATURES, CLASSES, BATCH = 4000, 12, 64, 10, 512


def adjacency():
    ends = torch.stack(
        [torch.arange(NODES).repeat_interleave(NEIGHBOURS), torch.randint(NODES, (NODES * NEIGHBOURS,))]
    )
    return torch.sparse_coo_tensor(
        ends, torch.full((ends.shape[1],), 1 / NEIGHBOURS), (NODES, NODES), check_invariants=False
    ).coalesce()


class Net(nn.Module):
    def __init__(self, features, graph, hops, width, fixed):
        super().__init__()
        self.features, self.graph, self.hops = features, graph, hops
        self.layers = nn.Sequential(
            nn.Linear(FEATURES, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, CLASSES),
        )
        self.kept = self.smoothed() if fixed else None

    def smoothed(self):
        seen = self.features
        for _ in range(self.hops):
            seen = torch.sparse.mm(self.graph, seen)
        return seen

    def forward(self, nodes):
        return self.layers((self.smoothed() if self.kept is None else self.kept)[nodes])


def main():
    args = parser(__doc__, hops=3, width=512).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    labels = torch.randint(CLASSES, (NODES,))
    model = Net(torch.randn(NODES, FEATURES), adjacency(), args.hops, args.width, args.fixed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    while True:
        for nodes in torch.randperm(NODES).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(nodes), labels[nodes]).backward()
            optimizer.step()
            clock.lap(len(nodes))


if __name__ == "__main__":
    main()
