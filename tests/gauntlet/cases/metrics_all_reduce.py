"""Two ranks that average thirty metrics after every step, each by a call of its own."""

import torch
import torch.distributed as dist
from clock import Clock, parser
from ranks import group
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def metrics_of(scores, labels, count):
    """Return accuracy within the first 1, 2, ... classes of the ranking, as Python numbers."""
    place = (scores.argsort(1, descending=True) == labels[:, None]).nonzero()[:, 1]
    reached = (place[:, None] <= torch.arange(count)).float().mean(0)
    return {f"top{number + 1}": value for number, value in enumerate(reached.tolist())}


def averaged_one_by_one(metrics):
    world = dist.get_world_size()
    averaged = {}
    for name, value in metrics.items():
        tensor = torch.tensor(value)
        dist.all_reduce(tensor)
        averaged[name] = tensor.item() / world
    return averaged


def averaged_at_once(metrics):
    together = torch.tensor(list(metrics.values()))
    dist.all_reduce(together)
    return dict(zip(metrics, (together / dist.get_world_size()).tolist(), strict=True))


def train(args):
    clock = Clock(args)
    averaged = averaged_at_once if args.fixed else averaged_one_by_one
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 100))
    ddp = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(ddp.parameters(), lr=0.01)
    history = []
    while True:
        features, labels = torch.randn(args.batch, 64), torch.randint(100, (args.batch,))
        scores = ddp(features)
        loss = nn.functional.cross_entropy(scores, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history = [*history[-99:], averaged(metrics_of(scores.detach(), labels, args.metrics))]
        clock.lap(args.batch)


def main():
    args = parser(__doc__, metrics=30, batch=128).parse_args()
    torch.manual_seed(0)
    with group(args):
        train(args)


if __name__ == "__main__":
    main()
