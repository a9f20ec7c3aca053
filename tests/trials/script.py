"""A small training that writes before it imports torch, after it, and at its end; the word says what else it does."""

import sys
from pathlib import Path

WORD = sys.argv[1] if len(sys.argv) > 1 else ""
Path("early.txt").write_text("before torch")
Path("kept.txt").write_text("changed")

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
data = TensorDataset(torch.randn(512, 16), torch.randn(512, 1))
steps = 0
try:
    for _ in range(20):
        for x, y in DataLoader(data, batch_size=16, shuffle=True):
            loss = (model(x) - y).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
            if WORD == "fails" and steps == 5:
                raise ValueError("out of luck")
        torch.save(model.state_dict(), "weights.pt")
except KeyboardInterrupt:
    if WORD != "swallows":
        raise
    Path("late.txt").write_text("after the stop")
