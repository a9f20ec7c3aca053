"""A recommender with a small vector per user keeps a moving average of all its tensors, one after the other."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional

ITEMS, WIDTH = 3000, 64


class Recommender(nn.Module):
    def __init__(self, users):
        super().__init__()
        self.users = nn.ParameterList(torch.randn(WIDTH) * 0.1 for _ in range(users))
        self.tower = nn.Sequential(nn.Linear(WIDTH, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU())
        self.items = nn.Linear(512, ITEMS)

    def forward(self, users):
        vectors = torch.stack([self.users[user] for user in users.tolist()])
        return self.items(self.tower(vectors))


class Average:
    """Exponential moving average of all parameters, for evaluation."""

    def __init__(self, model, decay=0.999, together=False):
        self.live, self.decay, self.together = list(model.parameters()), decay, together
        self.kept = [parameter.detach().clone() for parameter in self.live]

    @torch.no_grad()
    def update(self):
        if self.together:
            torch._foreach_lerp_(self.kept, self.live, 1 - self.decay)
            return
        for kept, live in zip(self.kept, self.live, strict=True):
            kept.mul_(self.decay).add_(live, alpha=1 - self.decay)


def main():
    args = parser(__doc__, users=2000, batch=64).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = Recommender(args.users)
    average = Average(model, together=args.fixed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    while True:
        users, items = torch.randint(args.users, (args.batch,)), torch.randint(ITEMS, (args.batch,))
        loss = functional.cross_entropy(model(users), items)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update()
        clock.lap(args.batch)


if __name__ == "__main__":
    main()
