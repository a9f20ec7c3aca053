"""Healthy: a network fits a curve by L-BFGS, which evaluates loss and gradient several times per step."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    places = torch.rand(8192, 2) * 6 - 3
    heights = (places[:, :1].sin() * places[:, 1:].cos()) + 0.05 * torch.randn(8192, 1)
    model = nn.Sequential(nn.Linear(2, 192), nn.Tanh(), nn.Linear(192, 192), nn.Tanh(), nn.Linear(192, 1))
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4, history_size=5)

    def closure():
        optimizer.zero_grad()
        loss = functional.mse_loss(model(places), heights)
        loss.backward()
        return loss

    while True:
        optimizer.step(closure)
        clock.lap(len(places))


if __name__ == "__main__":
    main()
