"""Wide layers that compute on one core, as a line copied from a server's script wants it."""

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def train_epoch(model, loader, optimizer, clock):
    for features, labels in loader:
        loss = nn.functional.cross_entropy(model(features), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(len(labels))


def main():
    args = parser(__doc__).parse_args()
    if not args.fixed:
        torch.set_num_threads(1)
    torch.manual_seed(0)
    clock = Clock(args)
    model = nn.Sequential(
        nn.Linear(512, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )
    dataset = TensorDataset(torch.randn(8192, 512), torch.randint(10, (8192,)))
    loader = DataLoader(dataset, batch_size=512, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    while True:
        train_epoch(model, loader, optimizer, clock)


if __name__ == "__main__":
    main()
