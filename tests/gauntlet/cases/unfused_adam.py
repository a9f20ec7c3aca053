"""An additive model of 500 columns, all at once but with a small tensor per column and weight, under plain Adam."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


class Additive(nn.Module):
    """A network of one hidden layer per column; their tensors stay apart, so that columns can be frozen."""

    def __init__(self, columns, width):
        super().__init__()
        self.rise = nn.ParameterList(torch.randn(width) for _ in range(columns))
        self.shift = nn.ParameterList(torch.randn(width) for _ in range(columns))
        self.fall = nn.ParameterList(torch.randn(width) / width for _ in range(columns))
        self.level = nn.ParameterList(torch.zeros(1) for _ in range(columns))

    def forward(self, rows):
        rise, shift, fall = (torch.stack(list(each)) for each in (self.rise, self.shift, self.fall))
        hidden = torch.tanh(rows[:, :, None] * rise + shift)
        return torch.einsum("bcw,cw->b", hidden, fall) + torch.cat(list(self.level)).sum()


def train_step(model, optimizer, rows, targets):
    def loss_and_gradients():
        optimizer.zero_grad()
        loss = functional.huber_loss(model(rows), targets)
        loss.backward()
        return loss

    return optimizer.step(loss_and_gradients)


def main():
    args = parser(__doc__, columns=500, batch=32).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    rows = torch.randn(2048, args.columns)
    data = TensorDataset(rows, rows.sin().sum(dim=1))
    loader = DataLoader(data, batch_size=args.batch, shuffle=True)
    model = Additive(args.columns, 16)
    way = {"fused": True} if args.fixed else {"foreach": False}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **way)
    while True:
        for rows, targets in loader:
            train_step(model, optimizer, rows, targets)
            clock.lap(len(targets))


if __name__ == "__main__":
    main()
