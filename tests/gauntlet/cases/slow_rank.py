"""Two ranks, of which the second reads its shard of the samples from a slow disk."""

import time

import torch
from clock import Clock, parser
from ranks import group
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler


class Shard(Dataset):
    """Samples of which each takes ``seconds`` to read."""

    def __init__(self, seconds, count=2048):
        self.seconds = seconds
        self.features, self.labels = torch.randn(count, 128), torch.randint(10, (count,))

    def __len__(self):
        return len(self.features)

    def __getitem__(self, index):
        if self.seconds:
            time.sleep(self.seconds)
        return self.features[index], self.labels[index]


def train(args, rank):
    clock = Clock(args)
    shard = Shard(args.seconds if rank == 1 and not args.fixed else 0.0)
    sampler = DistributedSampler(shard)
    loader = DataLoader(shard, batch_size=32, sampler=sampler, drop_last=True)
    model = nn.Sequential(
        nn.Linear(128, 1024), nn.ReLU(), nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 10)
    )
    ddp = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.01)
    for epoch in range(1_000_000):
        sampler.set_epoch(epoch)
        for features, labels in loader:
            loss = nn.functional.cross_entropy(ddp(features), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            clock.lap(len(labels))


def main():
    args = parser(__doc__, seconds=0.001).parse_args()
    torch.manual_seed(0)
    with group(args) as rank:
        train(args, rank)


if __name__ == "__main__":
    main()
