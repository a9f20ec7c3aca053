# ruff: noqa: PTH123, UP031, SIM115
"""Takes parts of torch away before the agent is installed, one after the other; argv: boot folder, run folder.

Prints ``<what was missing>=<the collector that is off>`` for each, and "no-trace" once undoing the last, complete
installation has restored every attribute that a hook can touch. That a training works meanwhile is asserted.
"""

import gc
import logging
import os
import sys
import threading

BOOT, RUN = sys.argv[1:3]
sys.path.insert(0, BOOT)

import _trainbottleneck_agent as agent  # noqa: E402
import torch  # noqa: E402
import torch.distributed  # noqa: E402
import torch.utils.data  # noqa: E402
from _trainbottleneck_agent import install  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, dataloader  # noqa: E402

agent.CONFIG.update(run=RUN, launcher=False, command_pid=os.getppid())
gc.disable()  # its callbacks are compared below

MISSING = (
    "autograd._engine_run_backward",
    "is_grad_enabled",
    "utils.data.dataloader._BaseDataLoaderIter",
    "utils.data._utils.fetch._MapDatasetFetcher",
    "_utils.ExceptionWrapper",
    "distributed.distributed_c10d",
    "serialization",
    "amp.GradScaler",
    "optim.optimizer.register_optimizer_step_pre_hook",
)


def owners():
    """Yield everything the hooks patch attributes of."""
    fetch = torch.utils.data._utils.fetch
    yield from (torch, torch.serialization, torch.autograd, torch.distributed, torch.cuda, torch.Tensor)
    yield from (nn.Module, torch.amp.GradScaler, torch.optim.Optimizer, torch._utils.ExceptionWrapper)
    yield from (DataLoader, dataloader._BaseDataLoaderIter, fetch._BaseDatasetFetcher)
    yield from (fetch._MapDatasetFetcher, fetch._IterableDatasetFetcher, logging.Logger, Double)
    yield from (sys, threading, torch.distributed.distributed_c10d, sys.modules["torch.optim.optimizer"])


def state():
    """Return what is there, attribute by attribute, and what is registered."""
    optimizer = sys.modules["torch.optim.optimizer"]
    found = {(repr(owner), key): id(value) for owner in owners() for key, value in list(vars(owner).items())}
    registered = [list(map(id, gc.callbacks)), list(map(id, sys.meta_path))]
    for hooks in (optimizer._global_optimizer_pre_hooks, optimizer._global_optimizer_post_hooks):
        registered.append(list(hooks.values()))
    return found, registered


class Double:
    def __call__(self, x):
        return x * 2


class Data(list):
    def __getitem__(self, index):
        x = super().__getitem__(index)
        for transform in self.transforms:
            x = transform(x)
        return x


def train():
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = Data(torch.ones(8, 4))
    data.transforms = [Double()]
    for x in DataLoader(data, batch_size=2):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
    torch.save(model.state_dict(), os.devnull)
    assert model.weight.sum().item() < 0, "it trained"


def newest_failures():
    """Return the collectors that the newest record says are off."""
    import json

    newest = max(os.scandir(RUN), key=lambda e: e.stat().st_mtime_ns if e.name.startswith("p") else 0)
    data = open(newest.path + "/trace.bin", "rb").read()
    found = []
    for part in data.split(b'{"kind": "failure"')[1:]:
        text = b'{"kind": "failure"' + part
        found.append(json.JSONDecoder().raw_decode(text.decode("latin-1"))[0]["data"]["collector"])
    return found


def install_without(path):
    """Install with one part of torch missing, put it back, train, and return which collectors are off."""
    owner = torch
    *above, name = path.split(".") if path else [None]
    for part in above:
        owner = getattr(owner, part) if part != "optimizer" else sys.modules["torch.optim.optimizer"]
    saved = owner.__dict__[name] if name else None
    if name:
        delattr(owner, name)
    try:
        install.install(torch, agent.CONFIG, agent.WATCH)
    finally:
        if name:
            setattr(owner, name, saved)
    train()
    install.SESSION.recorder.flush()
    found = newest_failures()
    install.SESSION.hooks.undo()
    return found


sys.meta_path.insert(0, agent.WATCH)
agent.WATCH.leave()
train()  # what torch sets up at first use is no trace of ours
before = state()
for path in MISSING:
    print("%s=%s" % (path, "+".join(name.split()[0] for name in install_without(path)) or "none"))
    if path != "serialization":
        assert state() == before, path
assert install_without("") == []
found = state()
changed = [key for key in before[0].keys() | found[0].keys() if before[0].get(key) != found[0].get(key)]
assert not changed and found[1] == before[1], (changed, before[1], found[1])
print("no-trace")
