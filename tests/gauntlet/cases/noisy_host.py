"""A healthy perceptron on a machine where another program takes a core for a third of the time."""

import subprocess
import sys

import torch
from clock import Clock, parser
from torch import nn

# Leaves the training's process tree by a second fork, and ends with the training, whose end closes its input, or
# after a minute. Of every three seconds it computes one.
OTHER = """
import os, select, time
if os.fork():
    os._exit(0)
os.setsid()
end = time.monotonic() + 60
while time.monotonic() < end and not select.select([0], [], [], 2)[0]:
    pause = time.monotonic() + 1
    while time.monotonic() < pause and not select.select([0], [], [], 0)[0]:
        sum(range(100_000))
"""


def start_other_program():
    """Start it; return the pipe that keeps it running."""
    command = [sys.executable, "-I", "-S", "-c", OTHER]
    other = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    other.wait()
    return other.stdin


def main():
    args = parser(__doc__).parse_args()
    other = start_other_program()
    torch.manual_seed(0)
    clock = Clock(args)
    model = nn.Sequential(nn.Linear(256, 768), nn.ReLU(), nn.Linear(768, 768), nn.ReLU(), nn.Linear(768, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    features, labels = torch.randn(16_384, 256), torch.randint(10, (16_384,))
    while not other.closed:
        rows = torch.randint(len(features), (512,))
        loss = nn.functional.cross_entropy(model(features[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.lap(len(rows))


if __name__ == "__main__":
    main()
