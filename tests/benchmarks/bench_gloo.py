"""Always-on cost with two ranks that exchange gradients by gloo: steps with all hooks over steps with none.

Short blocks in turn within the same two processes and with the same model, whose hooks are lifted and put back: models
that are built anew differ by a tenth. Both ranks take the same steps. ``PAIRS=20`` for a short look.
Where ranks and gloo's threads share two cores that are threads of one, who runs beside whom moves both times by some
percent from block to block. So all of it runs on one core as well: there nobody runs beside anybody, and a step takes
what both ranks compute.
"""

from __future__ import annotations

import os
import statistics

import aboard

_CODE = """
import os, time
if os.environ.get("ONE_CORE"):
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from _trainbottleneck_agent.hooks import Hooks

torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=os.environ["MEET"], rank=int(os.environ["RANK"]), world_size=2)
patched, lifted, missing, patch = [], [], object(), Hooks.patch

def noted(self, owner, attribute, replacement):
    patched.append((owner, attribute, vars(owner).get(attribute, missing)))
    return patch(self, owner, attribute, replacement)

def lift():
    for owner, attribute, before in reversed(patched):
        lifted.append((owner, attribute, vars(owner)[attribute]))
        delattr(owner, attribute) if before is missing else setattr(owner, attribute, before)

def put_back():
    while lifted:
        setattr(*lifted.pop())

def block(steps):
    samples, last, cpu = [], now(), time.process_time()
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        here = now()
        samples.append(here - last)
        last = here
    samples.sort()
    return samples[len(samples) // 2] / 1e9, (time.process_time() - cpu) / steps

Hooks.patch = noted
off()
patched.clear()
on()
x, y = torch.randn({batch}, {width}), torch.zeros({batch}, dtype=torch.long)
layers = [m for _ in range({depth}) for m in (nn.Linear({width}, {width}), nn.ReLU())]
net = DistributedDataParallel(nn.Sequential(*layers, nn.Linear({width}, 2)))
optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
# The wrapper of module calls moves to the outermost classes after a second; ranks count steps, as clocks differ.
count = torch.tensor([2.0 / block(60)[0]])
dist.all_reduce(count, dist.ReduceOp.MAX)
block(int(count))
pairs = []
for number in range({pairs}):
    found = {{"off": [], "on": []}}
    for mode in (("off", "on", "on", "off"), ("on", "off", "off", "on"))[number % 2]:
        lift() if mode == "off" else None
        block(3)
        found[mode].append(block({steps}))
        put_back()
    pairs.append([[sum(part) / 2 for part in zip(*found[mode])] for mode in ("off", "on")])
off()
dist.barrier()
dist.destroy_process_group()
print(json.dumps(pairs))
"""
# Steps of some 10 and 50 ms on two shared cores; blocks as long as what the machine does besides allows.
_SIZES = {
    "short": {"width": 256, "depth": 4, "batch": 96, "steps": 25},
    "usual": {"width": 768, "depth": 6, "batch": 128, "steps": 8},
}


def main(pairs: int = 150) -> None:
    """Print the table."""
    pairs = int(os.environ.get("PAIRS", pairs))
    print("| 2 ranks | without, ms | median of ratios (95 %) | pairs between |\n|---|---|---|---|")
    for where, size, variables in (
        ("one core", "short", {"ONE_CORE": "1"}), ("all cores", "short", {}), ("all cores", "usual", {}),
    ):  # fmt: skip
        found = aboard.run(_CODE.format(**_SIZES[size], pairs=pairs), ranks=2, variables=variables)
        for which, name in enumerate(("wall", "CPU")):
            ratios = sorted(on[which] / off[which] for off, on in found)
            base = statistics.median(off[which] for off, _ in found) * 1e3
            row = f"| {name} time of a step, {where} | {base:.2f} | {_middle(ratios)} |"
            print(f"{row} {ratios[0]:.3f} and {ratios[-1]:.3f} |", flush=True)


def _middle(ratios: list[float]) -> str:
    """Return the median of the sorted ``ratios`` with the interval that holds it in 95 of 100 benches.

    By order statistics (the sign test's interval): one block in which the machine did something else moves a mean
    by a percent.
    """
    reach = 1.96 * len(ratios) ** 0.5 / 2
    low, high = (ratios[round(len(ratios) / 2 - 0.5 + side * reach)] for side in (-1, 1))
    return f"{statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    main()
