"""What Dynamo compiled again and why, where it broke a graph and what it gave up on, told by a real training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

TRAIN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(8, 8), 0
    def forward(self, x):
        y = self.layer(x)
        if self.scale == -1:
            return y
        torch._dynamo.graph_break()
        return y * 2

net = Net()
compiled = torch.compile(net, backend="aot_eager", dynamic=False)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for step in range(40):
    net.scale = min(step, 20) if SHAPES else 0
    compiled(torch.randn(4, 8)).sum().backward()
    optimizer.step()
"""


def compiled(folder: Path, shapes: bool) -> tuple[dict[str, float], str]:
    """Return what is measured of compilation, and the text of the findings on it."""
    (folder / "train.py").write_text(TRAIN.replace("SHAPES", str(shapes)))
    command = [sys.executable, "-m", "trainbottleneck", "diagnose", "--full", "--quiet", "--no-stacks"]
    command += ["--no-experiments", "--no-deep", "-o", "run", "train.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "run" / "report.json").read_text())
    values = {
        name: row["value"] for name, row in report["measurements"].items() if name.startswith("compile.")
    }
    return values, " ".join(one["text"] for one in report["findings"] if one["bottleneck"] == "compilation")


def test_a_number_that_changes_compiles_again_until_the_compiler_gives_up(tmp_path: Path) -> None:
    values, text = compiled(tmp_path, True)
    assert (values["compile.again"], values["compile.dropped"], values["compile.breaks"]) == (7, 1, 1)
    assert "most often `forward` in train.py:9 because of: " in text and "scale" in text
    assert "`forward` in train.py:9 was compiled anew too often" in text
    assert "the first `forward` in train.py:13" in text


def test_what_does_not_change_is_compiled_once(tmp_path: Path) -> None:
    values, text = compiled(tmp_path, False)
    assert (values["compile.again"], values["compile.dropped"], values["compile.breaks"]) == (0, 0, 1)
    assert "anew" not in text
