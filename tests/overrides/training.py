"""Small trainings for the checks of overrides that act on models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from changed import changed
from torch import nn

IMAGES = torch.linspace(-1, 1, 4 * 3 * 8 * 8).view(4, 3, 8, 8)
ROWS = torch.linspace(-1, 1, 4 * 8).view(4, 8)


class Conv(nn.Module):
    """Two convolutions, a norm and a head; ``view`` flattens in the way that wants plain strides."""

    def __init__(self, view: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3))
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(144, 2)
        self.view = view

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        return self.head(self.drop(x.view(len(x), -1) if self.view else x.flatten(1)))


class Block(nn.Module):
    """One of several equal blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
        self.drop = nn.Dropout(0.3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.drop(self.body(x))


def directly(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Call a block as it is."""
    return block(x)


class Blocks(nn.Module):
    """Three blocks, each called by ``call``: directly, or by a checkpoint."""

    def __init__(self, call: Callable[..., Any] = directly) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head = nn.Linear(8, 1)
        self.call = call

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = self.call(block, x)
        return self.head(x)


def train(
    net: nn.Module,
    x: torch.Tensor,
    steps: int = 4,
    loss: Callable[[torch.Tensor], torch.Tensor] = lambda out: (out**2).mean(),
    optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
) -> list[float]:
    """Train ``net`` on ``x``; return the losses."""
    made = optimizer(net.parameters(), lr=0.01)
    losses = []
    for _ in range(steps):
        made.zero_grad()
        value = loss(net(x))
        value.backward()
        made.step()
        losses.append(value.item())
    return losses


def of_seed(make: Callable[[], Any], seed: int = 1) -> Any:
    """Return ``make()`` with random numbers that are the same each time."""
    torch.manual_seed(seed)
    return make()


def identity(net: nn.Module) -> tuple[list[str], list[int]]:
    """Return what an override must not change: names in the state and the parameters as objects."""
    return list(net.state_dict()), [id(parameter) for parameter in net.parameters()]


def close(one: list[float], other: list[float], relative: float) -> bool:
    return len(one) == len(other) and all(
        abs(a - b) <= relative * abs(b) for a, b in zip(one, other, strict=True)
    )


def losses_with(make, x, name, relative=None, **settings):
    """Train the same net without and with an override; check what may never change; return net, losses, told."""
    plain = of_seed(lambda: train(make(), x))
    torch.manual_seed(1)
    net = make()
    before = identity(net)
    with changed(name, **settings) as told:
        losses = train(net, x)
    assert identity(net) == before
    assert losses == plain if relative is None else close(losses, plain, relative), (losses, plain)
    return net, losses, told
