"""Always-on cost: step time with all hooks on over step time with none, in blocks in turn within one process."""

from __future__ import annotations

import statistics

import aboard

_CODE = """
import gc
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
torch.manual_seed(0)
width, depth, batch = {width}, {depth}, {batch}
layers = [m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())]
net = nn.Sequential(*layers, nn.Linear(width, 2))
optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
data = TensorDataset(torch.randn(batch * 100, width), torch.zeros(batch * 100, dtype=torch.long))
loader = DataLoader(data, batch_size=batch)

def block(steps):
    taken, samples = 0, []
    while taken < steps:
        last = now()
        for x, y in loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            here = now()
            samples.append(here - last)
            last = here
            taken += 1
    samples.sort()
    return samples[len(samples) // 2] / 1e9

block({steps})
pairs = []
for _ in range({pairs}):
    found = {{}}
    for mode in ("off", "on", "on", "off"):
        off()
        if mode == "on":
            on()
        settled = now() + 1_600_000_000  # the agent's wrapper moves to the outermost classes after a second
        while now() < settled:
            block(20)
        found.setdefault(mode, []).append(block({steps}))
    pairs.append((sum(found["off"]) / 2, sum(found["on"]) / 2))
print(json.dumps(pairs))
"""
_SIZES = {"about 1 ms": (192, 5, 12, 600), "about 10 ms": (400, 8, 72, 80)}


def main(pairs: int = 12) -> None:
    """Print the table."""
    print("| step | without, ms | ratio of medians | pairs between |\n|---|---|---|---|")
    for name, (width, depth, batch, steps) in _SIZES.items():
        found = aboard.run(_CODE.format(width=width, depth=depth, batch=batch, steps=steps, pairs=pairs))
        ratios = sorted(b / a for a, b in found)
        base = statistics.median(a for a, _ in found) * 1e3
        middle = statistics.median(ratios)
        print(f"| {name} | {base:.2f} | {middle:.4f} | {ratios[1]:.4f} and {ratios[-2]:.4f} |", flush=True)


if __name__ == "__main__":
    main()
