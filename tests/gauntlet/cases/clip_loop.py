"""An ensemble of small networks whose gradients are checked and clipped by a loop of its own, tensor by tensor."""

import itertools
import math

import torch
from clock import Clock, parser
from torch import nn
from torch.nn import functional

CLASSES = 5


class Ensemble(nn.Module):
    """Members keep their own tensors, so that each can be saved alone; they are evaluated all at once."""

    def __init__(self, members, widths):
        super().__init__()
        self.layers = nn.ModuleList()
        for inputs, outputs in itertools.pairwise(widths):
            self.layers.append(nn.ModuleList(nn.Linear(inputs, outputs) for _ in range(members)))

    def forward(self, rows):
        hidden = rows.expand(len(self.layers[0]), *rows.shape)
        for number, members in enumerate(self.layers):
            weights = torch.stack([member.weight for member in members])
            biases = torch.stack([member.bias for member in members])
            hidden = torch.baddbmm(biases[:, None], functional.relu(hidden) if number else hidden, weights.mT)
        return hidden


def clip(parameters, most):
    """Scale all gradients so that their norm is at most ``most``, and return what it was."""
    total = 0.0
    for parameter in parameters:
        if not torch.isfinite(parameter.grad).all().item():
            raise ValueError("a gradient is not finite")
        total += parameter.grad.norm().item() ** 2
    total = math.sqrt(total)
    for parameter in parameters:
        parameter.grad.mul_(min(1.0, most / (total + 1e-6)))
    return total


class Loop:
    def __init__(self, args):
        self.args, self.clock = args, Clock(args)
        self.model = Ensemble(args.members, (32, 48, 48, CLASSES))
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.SGD(self.parameters, lr=0.05)

    def run(self):
        while True:
            rows = torch.randn(self.args.batch, 32)
            self.step(rows, rows[:, :CLASSES].argmax(dim=1))

    def step(self, rows, labels):
        self.optimizer.zero_grad()
        scores = self.model(rows)
        functional.cross_entropy(scores.flatten(0, 1), labels.repeat(self.args.members)).backward()
        if self.args.fixed:
            nn.utils.clip_grad_norm_(self.parameters, 1.0, error_if_nonfinite=True, foreach=True)
        else:
            clip(self.parameters, 1.0)
        self.optimizer.step()
        self.clock.lap(len(labels))


if __name__ == "__main__":
    arguments = parser(__doc__, members=100, batch=64).parse_args()
    torch.manual_seed(0)
    Loop(arguments).run()
