"""Trains for 60 steps of some 20 ms and meets the fate that its first argument names."""

import os
import signal
import subprocess
import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader

FATE = sys.argv[1]


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def segv():
    import ctypes

    ctypes.string_at(0)


def execv():
    if len(sys.argv) == 2:
        os.execv(sys.executable, [sys.executable, *sys.argv, "again"])


def pause():
    """Stop this process, to be continued from outside after two seconds."""
    subprocess.Popen(["sh", "-c", f"sleep 2; kill -CONT {os.getpid()}"])
    os.kill(os.getpid(), signal.SIGSTOP)


def remove():
    """Remove the run folder, as a script does that cleans its output directory."""
    import shutil

    shutil.rmtree(sys.argv[2])


def leave():
    """Let the wall clock go back by an hour, which the monotonic one does not see; end without exit handlers."""
    real = time.time
    time.time = lambda: real() - 3600


def left():
    print("trained", flush=True)
    os._exit(0)


def train():
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for number, x in enumerate(DataLoader(torch.randn(60, 4), batch_size=1)):
        time.sleep(0.02)
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        if number == 45:
            globals()[FATE]()


if __name__ == "__main__":
    train()
    if FATE == "leave":
        left()
    print("trained")
