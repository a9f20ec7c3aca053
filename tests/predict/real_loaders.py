"""Runs real DataLoaders whose batches and loops sleep, and prints what each took as JSON.

``python real_loaders.py '[{...}, ...]'``: a process for each, some at once, as they use no core to speak of.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from typing import Any

from torch.utils.data import DataLoader, Dataset

AT_ONCE = 4  # loaders: with their workers some fifteen processes, which wake up a hundred times a second each


class Sleeper(Dataset[tuple[int, float, float]]):
    """A data set whose batches take gamma-distributed times, the same for the same index."""

    def __init__(self, batches: int, mean: float, cv: float) -> None:
        self.batches, self.mean, self.shape = batches, mean, 1 / cv**2

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[int, float, float]:
        start = time.perf_counter()
        time.sleep(random.Random(index).gammavariate(self.shape, self.mean / self.shape))
        end = time.perf_counter()
        return index, end - start, end


def run(setting: dict[str, Any]) -> dict[str, Any]:
    """Return what making each batch, each pass through the loop and each start of an epoch took, in seconds."""
    options: dict[str, Any] = {}
    if setting["workers"]:
        options = {name: setting[name] for name in ("prefetch_factor", "persistent_workers", "in_order")}
        options["multiprocessing_context"] = "fork"
    data = Sleeper(setting["batches"], setting["mean"], setting["cv"])
    loader = DataLoader(data, batch_size=None, num_workers=setting["workers"], **options)
    made: dict[int, float] = {}
    loops, receives, gaps = [], [], []
    ended = begun = time.perf_counter()
    for epoch in range(setting["epochs"]):
        batches = iter(loader)
        for number, (index, seconds, done) in enumerate(batches):
            got = time.perf_counter()
            made[epoch * setting["batches"] + int(index)] = float(seconds)
            if number:
                receives.append(got - max(ended, done))  # the clock is the same in all processes
            else:
                gaps.append(got - ended)
            time.sleep(setting["loop"] * (5 if number % 10 == 9 else 1))  # every tenth step logs, say
            ended = time.perf_counter()
            loops.append(ended - got)
    return {
        "step": (ended - begun) / len(loops),
        "made": [made[key] for key in sorted(made)],
        "loops": loops,
        "receives": receives,
        "gaps": gaps,
    }


def side_by_side(settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what each of ``settings`` took, each run in a process of its own, all at once."""
    pipes = []
    for setting in settings:
        reading, writing = os.pipe()
        if os.fork() == 0:
            with os.fdopen(writing, "w") as file:
                json.dump(run(setting), file)
            os._exit(0)
        os.close(writing)
        pipes.append(reading)
    results = []
    for reading in pipes:
        with os.fdopen(reading) as file:
            results.append(json.load(file))
    return results


def main() -> None:
    """Run every setting and print the results in order."""
    settings = json.loads(sys.argv[1])
    groups = [settings[start : start + AT_ONCE] for start in range(0, len(settings), AT_ONCE)]
    json.dump([result for group in groups for result in side_by_side(group)], sys.stdout)


if __name__ == "__main__":
    main()
