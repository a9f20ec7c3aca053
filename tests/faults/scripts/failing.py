"""Fails in three ways inside calls that the tool times: caught by itself, in a thread, and uncaught."""

import sys
import threading
import traceback

import torch
from torch import nn
from torch.utils.data import DataLoader


class Net(nn.Module):
    def forward(self, x):
        if x.sum() > 100:
            raise ValueError("too large")
        return x


class Loss(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.sum()

    @staticmethod
    def backward(context, gradient):
        raise OSError("in backward")


def collate(samples):
    raise KeyError("in collate")


net = Net()
if sys.argv[1] == "caught":
    try:
        nn.Sequential(net)(torch.ones(200))
    except ValueError:
        traceback.print_exc()
thread = threading.Thread(target=net, args=(torch.ones(101),))
thread.start()
thread.join()
try:
    Loss.apply(torch.ones(2, requires_grad=True)).backward()
except OSError as error:
    try:
        next(iter(DataLoader(range(4), collate_fn=collate)))
    except KeyError:
        raise RuntimeError("gave up") from error
