"""An ensemble of many small tensors that Adam visits one by one, behind a cell called once per moment."""

import torch
from clock import Clock, parser
from torch import nn

LENGTH, BATCH, WIDTH = 60, 32, 32


class Experts(nn.Module):
    """Scales and shifts of many experts, each a tensor of its own; every series has one expert."""

    def __init__(self, count):
        super().__init__()
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(WIDTH)) for _ in range(count))
        self.shifts = nn.ParameterList(nn.Parameter(torch.zeros(WIDTH)) for _ in range(count))

    def forward(self, state):
        scales, shifts = torch.stack(list(self.scales)), torch.stack(list(self.shifts))
        chosen = torch.randint(len(scales), (len(state),))
        return state * scales[chosen] + shifts[chosen]


class Network(nn.Module):
    """A gated cell over each moment of a series; no moment needs another, so one call could do."""

    def __init__(self, experts, by_moment):
        super().__init__()
        self.value, self.gate = nn.Linear(8, WIDTH), nn.Linear(8, WIDTH)
        self.experts, self.head = Experts(experts), nn.Linear(WIDTH, 2)
        self.by_moment = by_moment

    def cell(self, values):
        return torch.tanh(self.value(values)) * torch.sigmoid(self.gate(values))

    def states(self, series):
        return torch.stack([self.cell(values) for values in series]) if self.by_moment else self.cell(series)

    def forward(self, series):
        return self.head(self.experts(self.states(series).mean(0)))


def main():
    made = parser(__doc__, experts=400)
    made.add_argument("--fused-adam", action="store_true", help="take the first cause away")
    args = made.parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = Network(args.experts, not args.fixed)
    how = {"fused": True} if args.fixed or args.fused_adam else {"foreach": False}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **how)
    while True:
        series = torch.randn(LENGTH, BATCH, 8)
        loss = nn.functional.cross_entropy(model(series), (series.sum((0, 2)) > 0).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(BATCH)


if __name__ == "__main__":
    main()
