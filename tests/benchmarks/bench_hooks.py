"""What each hook costs, in microseconds: the same call with the hooks on and off, best of blocks in turn."""

from __future__ import annotations

import aboard

_CODE = """
import gc
import torch.nn as nn
from torch.utils.data import DataLoader

class Nothing(nn.Module):
    def forward(self, x):
        return x

class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(*[Nothing() for _ in range(100)])
    def forward(self, x):
        return self.inner(x)

x = torch.zeros(1)
leaf = torch.ones(1, requires_grad=True)
nothing, outer = Nothing(), Outer()
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)
loader = iter(DataLoader(range(10**9), batch_size=None, collate_fn=lambda v: v))

def repeat(call, count):
    start = now()
    for _ in range(count):
        call()
    return (now() - start) / count / 1e3

def backward():
    (leaf * 1.0).backward()

cases = {
    "outermost module call": (lambda: nothing(x), 2000, 1),
    "inner module call": (lambda: outer(x), 100, 101),
    "backward": (backward, 1000, 1),
    "optimizer step": (optimizer.step, 1000, 1),
    "loader next (with making the batch)": (lambda: next(loader), 1000, 1),
    "torch.Tensor.to (CPU build: not patched)": (lambda: x.to("cpu"), 2000, 1),
}
rows = {}
gc.disable()
for name, (call, count, calls) in cases.items():
    best = {"on": 1e9, "off": 1e9}
    repeat(call, count)
    for block in range(14):
        mode = "on" if block % 4 in (1, 2) else "off"
        off()
        if mode == "on":
            on()
        repeat(call, 20)  # what the hooks do once (facts, the operator count) is no cost of a call
        best[mode] = min(best[mode], repeat(call, count) / calls)
    rows[name] = (best["off"], best["on"])
    off()
    on()
print(json.dumps(rows))
"""


def main() -> None:
    """Print the table."""
    rows = aboard.run(_CODE)
    print("| hook | without, us | with, us | added, us |\n|---|---|---|---|")
    for name, (without, with_hooks) in rows.items():
        print(f"| {name} | {without:.2f} | {with_hooks:.2f} | {with_hooks - without:+.2f} |")


if __name__ == "__main__":
    main()
