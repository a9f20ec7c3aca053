"""Trains long enough for the wrapper to move from nn.Module to the outermost classes, then does what could notice."""

import copy
import os
import pickle
import sys
import time
from collections import Counter

import cloudpickle
import torch
import torch.fx
from torch import nn
from torch.utils.data import DataLoader

calls = Counter()


class Count(nn.Module):
    """Counts its own calls; all of them are outermost."""

    def forward(self, x):
        calls[type(self).__name__] += 1
        return x


class Net(Count):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 4)))
        self.own = Square()

    def forward(self, x):
        return self.own(self.body(super().forward(x)))


class Square(nn.Module):
    def forward(self, x):
        return x * x


class Loss(Count):
    def forward(self, x):
        return super().forward(x).sum()


class Late(Count):
    """Is called for the first time when an evaluation begins."""


def train(net, loss, optimizer, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        optimizer.zero_grad()
        loss(net(torch.ones(2, 4))).backward()
        optimizer.step()


torch.manual_seed(3)
net, loss, late = Net(), Loss(), Late()
linear = nn.Linear(4, 4)
optimizer = torch.optim.SGD([*net.parameters(), *linear.parameters()], lr=0.0)
for _ in range(3):
    linear(torch.ones(2, 4))  # an outermost class of torch's own, which other models have inside
train(net, loss, optimizer, 2.5)
if os.environ.get("SHOW"):
    print("moved", nn.Module.__call__ is not nn.Module._wrapped_call_impl, "__call__" in vars(Net))
print([type(m).__name__ for m in net.modules()], "__call__" in vars(Square), "__call__" in dir(Square))
print([str(n.op) + " " + str(n.target) for n in torch.fx.symbolic_trace(net.body).graph.nodes])
print([str(n.op) + " " + str(n.target) for n in torch.fx.symbolic_trace(nn.Sequential(linear)).graph.nodes])
print(
    torch.jit.script(Square())(torch.ones(2)).sum().item(),
    torch.jit.trace(Square(), torch.ones(2)).code.count("mul"),
)
again = pickle.loads(pickle.dumps(net))
print(type(again) is Net, torch.equal(again.body(torch.ones(1, 4)), net.body(torch.ones(1, 4))))
by_value = pickle.loads(cloudpickle.dumps(Square()))
print(by_value(torch.ones(2)).sum().item(), b"trainbottleneck" in cloudpickle.dumps(net))
twin = copy.deepcopy(net)
print(twin(torch.ones(2, 4)).shape, nn.Module.__call__.__qualname__, Net.__call__.__qualname__)
torch._dynamo.reset()
torch._dynamo.utils.counters.clear()
compiled = torch.compile(net.body, backend="eager")
for _ in range(3):
    print(compiled(torch.ones(2, 4)).shape)
print(dict(torch._dynamo.utils.counters["frames"]), dict(torch._dynamo.utils.counters["graph_break"]))
if len(sys.argv) > 1:
    for x in DataLoader(torch.ones(6, 4), batch_size=2):
        late(x)
    print("calls", dict(calls))
