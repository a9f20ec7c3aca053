"""What it takes to hand a ready batch over from a loader's worker: by number of tensors and sharing strategy."""

from __future__ import annotations

import statistics
import subprocess
import sys

BATCHES = 60
STRATEGIES = ("file_descriptor", "file_system")

# In a process of its own: the strategy is chosen once, before workers start.
_CODE = """
import sys, time, torch
from torch.utils.data import DataLoader, Dataset

class Rows(Dataset):
    def __len__(self):
        return 1 << 20
    def __getitem__(self, index):
        return tuple(torch.zeros(256) for _ in range({tensors}))

if __name__ == "__main__":
    torch.multiprocessing.set_sharing_strategy({strategy!r})
    torch.set_num_threads(1)
    batches = iter(DataLoader(Rows(), 16, num_workers=1, prefetch_factor=4))
    next(batches)
    for _ in range({batches}):
        time.sleep(0.03)  # until the queue is full again
        start = time.perf_counter()
        next(batches)
        print(time.perf_counter() - start)
"""


def main() -> None:
    """Print the table."""
    print(f"| tensors of a batch | {' | '.join(STRATEGIES)} |\n|---|---|---|")
    for tensors in (1, 2, 6):
        print(f"| {tensors} | {' | '.join(_taken(tensors, way) for way in STRATEGIES)} |")


def _taken(tensors: int, strategy: str) -> str:
    """Return the median time of one batch, for people."""
    code = _CODE.format(tensors=tensors, strategy=strategy, batches=BATCHES)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return f"{statistics.median(map(float, done.stdout.split())) * 1e3:.1f} ms"


if __name__ == "__main__":
    main()
