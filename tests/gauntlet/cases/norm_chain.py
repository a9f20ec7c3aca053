"""A network on long feature maps that standardises what is standardised already, eight times in every layer."""

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional

ROWS, WIDTH = 16384, 96


class Layer(nn.Module):
    """Standardising is idempotent: what comes out is the same after one pass and after eight."""

    def __init__(self, passes):
        super().__init__()
        self.passes = passes
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        normal = x
        for _ in range(self.passes):
            normal = functional.layer_norm(normal, (WIDTH,))
        return x + torch.relu(self.linear(normal))


def main():
    args = parser(__doc__, passes=8).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    model = nn.Sequential(*(Layer(1 if args.fixed else args.passes) for _ in range(3)), nn.Linear(WIDTH, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001)
    features, wanted = torch.randn(4 * ROWS, WIDTH), torch.randn(4 * ROWS, 1)
    epoch = 0
    while True:
        for rows in torch.randperm(len(features)).split(ROWS):
            loss = functional.mse_loss(model(features[rows]), wanted[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clock.lap(ROWS)
        epoch += 1
        if epoch % 10 == 0:
            print(f"epoch {epoch} loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
