"""A regressor that evaluates its whole validation set every ten steps, with gradients, and stays in eval mode."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


class Regressor(nn.Module):
    def __init__(self, width=1024):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(64, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.head = nn.Linear(width, 1)

    def forward(self, features):
        return self.head(self.body(features)).squeeze(1)


def made_up(rows):
    features = torch.randn(rows, 64)
    return TensorDataset(features, features[:, :8].prod(dim=1) + 0.1 * torch.randn(rows))


def validate(model, loader):
    model.eval()
    total = 0.0
    for features, targets in loader:
        total += functional.mse_loss(model(features), targets).item()
    return total / len(loader)


def main():
    args = parser(__doc__, every=10, rows=2048).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    train_loader = DataLoader(made_up(4096), batch_size=128, shuffle=True)
    valid_loader = DataLoader(made_up(args.rows), batch_size=128)
    model = Regressor()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    best, step = float("inf"), 0
    while True:
        for features, targets in train_loader:
            optimizer.zero_grad()
            functional.mse_loss(model(features), targets).backward()
            optimizer.step()
            step += 1
            if not args.fixed and step % args.every == 0:
                best = min(best, validate(model, valid_loader))
            clock.lap(len(targets))


if __name__ == "__main__":
    main()
