"""A wide perceptron on large batches: nearly all of a step is matrix products on all cores."""

import torch
from clock import Clock, parser
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    args = parser(__doc__).parse_args()
    torch.manual_seed(0)
    clock = Clock(args)
    dataset = TensorDataset(torch.randn(8192, 256), torch.randint(10, (8192,)))
    loader = DataLoader(dataset, batch_size=256, shuffle=True, drop_last=True)
    model = nn.Sequential(
        nn.Linear(256, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 10)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loss_of = nn.CrossEntropyLoss()
    while True:
        for features, labels in loader:
            optimizer.zero_grad()
            loss_of(model(features), labels).backward()
            optimizer.step()
            clock.lap(len(labels))


if __name__ == "__main__":
    main()
