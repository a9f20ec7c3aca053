"""Compiles a model and an optimizer step, and prints how often Dynamo broke a graph or compiled again."""

import logging

import torch
import torch._dynamo
from torch import nn
from torch._dynamo.utils import compile_times, counters
from torch.utils.data import DataLoader

logging.getLogger("torch._dynamo").setLevel(logging.ERROR)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x):
        x = torch.relu(self.a(x))
        torch._dynamo.graph_break()
        return self.b(x)


def train(model, optimizer, batches):
    losses = []
    for x in batches:
        optimizer.zero_grad()
        loss = model(x).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item().hex())
    return losses


for backend in ("eager", "aot_eager"):
    for whole in (False, True):
        torch._dynamo.reset()
        counters.clear()
        torch.manual_seed(1)
        net = Net()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        batches = [*DataLoader(torch.randn(24, 4), batch_size=4), torch.randn(3, 4), torch.randn(7, 4)]
        if whole:  # the step function is compiled, module calls and all
            run = torch.compile(lambda x, net=net: net(x).pow(2).mean(), backend=backend)
            losses = []
            for x in batches:
                loss = run(x)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item().hex())
        else:
            losses = train(torch.compile(net, backend=backend), optimizer, batches)
        frames = {
            k: dict(v) for k, v in counters.items() if k in ("stats", "frames", "graph_break", "recompiles")
        }
        print(backend, whole, losses, frames)

torch._dynamo.reset()
counters.clear()
torch.manual_seed(1)
net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)


@torch.compile(backend="eager")
def update():
    optimizer.step()


losses = []
for x in torch.randn(6, 4, 4):
    loss = net(x).pow(2).mean()
    loss.backward()
    update()
    optimizer.zero_grad()
    losses.append(loss.item().hex())
print("update", losses, {k: dict(v) for k, v in counters.items() if k in ("stats", "graph_break")})
print(torch._dynamo.explain(Net())(torch.ones(2, 4)).graph_break_count, len(compile_times("str")) > 0)
