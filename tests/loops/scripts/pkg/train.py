"""Run as ``-m pkg.train``: relative imports work, and options reach the script."""

from __future__ import annotations

import sys

from torch.utils.data import DataLoader
from truth import SGD, TRUTH, Net, Samples

from .parts import EPOCHS

if __name__ == "__main__":
    assert __package__ == "pkg"
    model = Net()
    optimizer = SGD(model.parameters(), 0.01)
    for _ in range(EPOCHS):
        for batch in DataLoader(Samples(32), batch_size=2):
            model(batch).sum().backward()
            optimizer.step()
    TRUTH.write("module", argv=sys.argv[1:])
