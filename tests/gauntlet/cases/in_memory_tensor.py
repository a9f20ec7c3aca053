"""A table that lies in memory as tensors, and a wide network that takes all the time."""

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

ROWS, COLUMNS, BATCH = 16_384, 128, 256


def network():
    return nn.Sequential(
        nn.Linear(COLUMNS, 1536), nn.ReLU(), nn.Linear(1536, 1536), nn.ReLU(), nn.Linear(1536, 1)
    )


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    table = torch.randn(ROWS, COLUMNS)
    loader = DataLoader(TensorDataset(table, table[:, :3].sum(dim=1)), batch_size=BATCH, shuffle=True)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1000)
    loss_of = nn.MSELoss()
    step = 0
    while True:
        for rows, targets in loader:
            loss = loss_of(model(rows).squeeze(1), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            step += 1
            if step % 200 == 0:
                print(f"step {step} loss {loss.item():.4f}", flush=True)
            clock.lap(len(targets))


if __name__ == "__main__":
    main()
