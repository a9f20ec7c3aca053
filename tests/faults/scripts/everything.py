# ruff: noqa: PTH123, PTH208
"""Uses much of what a training script can use, and prints what it sees: the same with and without the tool."""

import cProfile
import gc
import logging
import os
import pickle
import pstats
import random
import re
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, schedule
from torch.utils.data import DataLoader, Dataset, IterableDataset


class Double:
    """A transform."""

    def __call__(self, x):
        return x * 2


class Compose:
    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, x):
        for transform in self.transforms:
            x = transform(x)
        return x


class Points(Dataset):
    def __init__(self, count=96):
        self.data = torch.randn(count, 8)
        self.transform = Compose([Double(), nn.Hardtanh(-3, 3), lambda x: x + torch.rand(1) * 0.01])

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return self.transform(self.data[index]), index % 3


class Stream(IterableDataset):
    """Has no length."""

    def __iter__(self):
        return iter(torch.arange(24.0).split(4))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.2), nn.ReLU())
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(self.body(x))


def epoch(model, loader, optimizer, scaler=None):
    """Print every loss bit for bit."""
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        print(loss.item().hex(), end=" ")
    print()


def seeded_losses(model, optimizer):
    for workers, options in ((0, {}), (2, {"persistent_workers": True, "worker_init_fn": seed_worker})):
        loader = DataLoader(Points(), batch_size=8, shuffle=True, num_workers=workers, **options)
        for _ in range(2):
            epoch(model, loader, optimizer)
        print(len(loader), loader.dataset is loader.dataset, type(iter(loader)).__name__, loader.num_workers)
    print([float(t.sum()) for t in DataLoader(Stream(), batch_size=None)])
    try:
        len(DataLoader(Stream()))
    except TypeError as error:
        print(error)


def seed_worker(number):
    random.seed(torch.initial_seed() % 2**32)


def identities(model, optimizer):
    print(type(model).__name__, type(model).__mro__, list(model.state_dict()))
    print(isinstance(optimizer, torch.optim.SGD), type(optimizer.step).__name__, repr(optimizer))
    print(repr(model), torch.save.__module__, torch.save.__name__, nn.Module.__call__.__qualname__)
    print(torch.save is torch.serialization.save, pickle.dumps(torch.save))
    print(len(model._forward_hooks), len(model._forward_pre_hooks), len(optimizer._optimizer_step_post_hooks))
    print(len(nn.modules.module._global_forward_hooks), torch.is_grad_enabled(), torch.is_anomaly_enabled())
    # The threads that feed a dropped loader's queues end in their own time, with and without the tool.
    print([t.name for t in threading.enumerate() if not t.name.startswith("QueueFeeder")])
    print([signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGUSR1)])
    print(random.getstate()[1][:3], np.random.get_state()[1][:3], int(torch.initial_seed()))
    print(torch.randn(2), np.random.rand(2), random.random())


def numbers_of_random(model):
    """Twenty backward passes: the one at which the tool probes is among them."""
    state = torch.get_rng_state()
    for _ in range(20):
        model(torch.ones(2, 8)).sum().backward()
    print(torch.get_rng_state().eq(state).all(), [float(p.grad.sum()).hex() for p in model.parameters()])


def checkpoints(model, optimizer):
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, "state.pt")
    torch.save(model, "model.pt")
    with open("model.pickle", "wb") as file:
        pickle.dump((Double(), Net, torch.save), file)  # classes of __main__, and a function that is patched
    again = torch.load("model.pt", weights_only=False)
    print(type(again) is Net, Net.__module__)


def own_profiler(model, optimizer):
    """The script's own profiler sees the same operators, by itself, in a schedule, and in a thread."""
    waits = schedule(wait=1, warmup=1, active=2)
    with profile(activities=[ProfilerActivity.CPU], schedule=waits) as found:
        for _ in range(4):
            step(model, optimizer)
            found.step()
    print(sorted((e.key, e.count) for e in found.key_averages()))

    def in_thread():
        with profile(activities=[ProfilerActivity.CPU]) as inner:
            step(model, optimizer)
        print(len(inner.events()))

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()


def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(4, 8)).sum().backward()
    optimizer.step()


def square(x):
    return x * x


def own_tracers(model, optimizer):
    found = cProfile.Profile()
    found.enable()
    for i in range(30):
        square(i)
        step(model, optimizer)
    found.disable()
    rows = pstats.Stats(found).stats
    print([row[0] for key, row in rows.items() if key[2] in ("square", "step") and key[0] == __file__])
    lines = []

    def trace(frame, event, argument):
        if frame.f_code.co_filename != __file__:
            return None
        lines.append((frame.f_code.co_name, event, frame.f_lineno))
        return trace

    sys.settrace(trace)
    step(model, optimizer)
    sys.settrace(None)
    print(lines, sys.gettrace(), sys.getprofile())


def own_signals(model, optimizer):
    hits, before = {}, {}

    def count(number, frame):
        hits[number] = hits.get(number, 0) + 1

    numbers = (signal.SIGALRM, signal.SIGPROF, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD)
    for number in numbers:
        before[number] = signal.signal(number, count)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    for _ in range(100):
        step(model, optimizer)
    for number in numbers[1:4]:
        for _ in range(3):
            os.kill(os.getpid(), number)
    while not hits.get(signal.SIGALRM):
        step(model, optimizer)
    subprocess.run(["true"], check=True)
    print(sorted((int(k), v) for k, v in hits.items()))
    for number in numbers:
        signal.signal(number, before[number])


def out_of_memory(model, optimizer):
    """An error inside forward that the script catches; it goes on with half the batch."""

    class Full(nn.Module):
        def forward(self, x):
            if len(x) > 4:
                raise MemoryError("too large")
            return x.sum()

    size, full = 16, Full()
    while True:
        try:
            full(model(torch.ones(size, 8))).backward()
            optimizer.step()
            break
        except MemoryError as error:
            print("caught", error, size)
            size //= 2
    print(size)


def worker_errors():
    class Bad(Points):
        def __getitem__(self, index):
            if index == 3:
                raise ValueError("sample 3 is broken")
            return super().__getitem__(index)

    class Deadly(Points):
        def __getitem__(self, index):
            os._exit(1)

    for dataset in (Bad(), Deadly()):
        try:
            for _ in DataLoader(dataset, batch_size=4, num_workers=1):
                pass
        except ValueError as error:
            print(type(error).__name__, error)
        except (
            RuntimeError
        ) as error:  # torch has two texts for it, by the moment at which the worker's end is seen
            print(type(error).__name__, re.sub(r"(DataLoader worker).*", r"\1", str(error), flags=re.DOTALL))


def many_threads(model):
    def forward(number):
        model(torch.ones(1, 8))
        next(iter(DataLoader(Points(8), batch_size=4)))

    for _ in range(4):
        threads = [threading.Thread(target=forward, args=(i,)) for i in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(threading.active_count(), len(os.listdir("/proc/self/fd")) < 40)


def main():
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    seeded_losses(model, optimizer)
    identities(model, optimizer)
    numbers_of_random(model)
    checkpoints(model, optimizer)
    own_profiler(model, optimizer)
    own_tracers(model, optimizer)
    own_signals(model, optimizer)
    out_of_memory(model, optimizer)
    worker_errors()
    many_threads(model)
    logging.info("filters %s", len(warnings.filters))
    warnings.warn("a warning of the script", stacklevel=1)
    print(gc.get_threshold(), gc.isenabled(), sys.getrecursionlimit(), sys.flags, sys.argv)


if __name__ == "__main__":
    main()
