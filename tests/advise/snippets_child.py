"""Runs the snippets of mitigations in one process: JSON {id: code} in, JSON {id: what went wrong} out.

Every snippet gets fresh stand-ins for what it takes from the reader's script, so small that all
of them together take seconds on one core.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import io
import json
import math
import os
import random
import sys
import tempfile
import time
import traceback
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

Names = dict[str, Any]


class Block(nn.Module):
    """A residual block whose last layer is called ``last``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.last = nn.Conv2d(channels, channels, 3, padding=1)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x + f(x)."""
        return x + self.drop(self.last(x))


class Net(nn.Module):
    """A small image classifier with blocks, batch norm, dropout and linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(3) for _ in range(4)])
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return class scores."""
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(dim=(-2, -1)))


class LanguageModel(nn.Module):
    """An embedding and a head that could share a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 16), nn.Linear(16, 50, bias=False)


def evaluate(net: nn.Module, loader: DataLoader[Any]) -> float:
    """Return the mean loss over ``loader``."""
    return float(sum(F.cross_entropy(net(x), y) for x, y in loader) / len(loader))


def imports() -> Names:
    """Return the modules and names that every PyTorch script has imported."""
    return {
        "torch": torch, "nn": nn, "F": F, "np": np, "random": random, "math": math, "copy": copy, "time": time,
        "contextlib": contextlib, "DataLoader": DataLoader, "Dataset": Dataset, "Subset": Subset,
        "TensorDataset": TensorDataset,
    }  # fmt: skip


def training() -> Names:
    """Return a model with its optimizer, one batch and its loss."""
    net = Net()
    x, y = torch.randn(8, 3, 32, 32), torch.randint(0, 10, (8,))
    opt = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    outputs = net(x)
    loss = F.cross_entropy(outputs, y)
    return {
        "net": net, "x": x, "y": y, "opt": opt, "outputs": outputs, "loss": loss, "loss_fn": nn.CrossEntropyLoss(),
        "device": torch.device("cpu"), "step": 10, "total_steps": 100, "width": 192, "new_batch_size": 16,
        "best": 1.0, "val_loss": 0.9, "waited": 0, "evaluate": evaluate, "running": torch.zeros(()),
        "losses": [], "history": list(range(2000)), "compute_s": 0.1,
    }  # fmt: skip


def data() -> Names:
    """Return data sets, loaders and what makes their samples."""
    ds = TensorDataset(torch.randn(16, 3, 32, 32), torch.randint(0, 10, (16,)))
    batch = [(ds.tensors[0][:4], ds.tensors[1][:4])]
    tokens = [torch.ones(n, dtype=torch.long) for n in (3, 70, 5, 9, 12, 64, 1, 2)]
    return {
        "ds": ds, "val_ds": ds, "loader": DataLoader(ds, batch_size=4), "val_loader": DataLoader(ds, batch_size=8),
        "batch_size": 4, "num_workers": 2, "steps_per_epoch": 3, "make_batch": lambda i: batch[0],
        "X": torch.randn(20, 5), "Y": torch.arange(20), "x_uint8": torch.zeros(4, 3, 32, 32, dtype=torch.uint8),
        "image": np.zeros((256, 256, 3), dtype=np.uint8), "raw": [torch.ones(2)] * 2, "i": 0,
        "prepare": lambda sample: sample.numpy(), "augment": lambda sample: sample, "micro_batches": batch * 2,
        "read_and_decode": lambda i: torch.zeros(3, 32, 32, dtype=torch.uint8), "paths": ["a", "bc"],
        "token_ds": tokens, "lengths": [len(t) for t in tokens], "difficulty": np.arange(16), "tokenizer_size": 50257,
        "pad_to_longest": lambda rows: nn.utils.rnn.pad_sequence(rows, batch_first=True), "encoder": nn.Identity(),
    }  # fmt: skip


def sequences() -> Names:
    """Return what snippets on language models take for granted."""
    q = torch.randn(2, 4, 128, 16)
    return {
        "q": q, "k": q.clone(), "v": q.clone(), "hidden": torch.randn(6, 64), "lm_head": nn.Linear(64, 50),
        "labels": torch.tensor([1, -100, 3, -100, 5, 6]), "sequence": torch.randn(2, 10, 32), "lm": LanguageModel(),
        "ids": torch.randint(0, 50, (2, 512)), "tokens": torch.randn(6, 8), "router": nn.Linear(8, 3),
        "experts": nn.ModuleList([nn.Linear(8, 8) for _ in range(3)]), "interface": "lo",
    }  # fmt: skip


def files(folder: Path) -> Names:
    """Return paths below ``folder`` with the files that snippets read."""
    from PIL import Image

    (folder / "shared").mkdir(exist_ok=True)
    (folder / "local").mkdir(exist_ok=True)
    Image.new("RGB", (64, 64)).save(folder / "image.jpg")
    np.arange(8, dtype=np.uint16).tofile(folder / "tokens.bin")
    return {
        "path": folder / "image.jpg", "token_file": folder / "tokens.bin", "cache": folder, "Image": Image,
        "checkpoint_path": folder / "checkpoint.pt", "log_path": folder / "train.log", "log": io.StringIO(),
        "local_disk": folder / "local", "shared_data": folder / "shared",
    }  # fmt: skip


def run(code: str, folder: Path, distributed: bool) -> str | None:
    """Return the last line of the traceback of ``code``, or None where it ran."""
    torch.manual_seed(0)
    module = sys.modules["snippet"] = types.ModuleType(
        "snippet"
    )  # torch.compile looks a function's module up
    names = module.__dict__
    names.update({**imports(), **training(), **data(), **sequences(), **files(folder)})
    if distributed:
        names["ddp"] = nn.parallel.DistributedDataParallel(names["net"])
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, "<snippet>", "exec"), names)
    except Exception:
        return traceback.format_exc().strip().splitlines()[-1]
    finally:
        gc.enable()
    return None


def main() -> None:
    """Read the snippets, run them, write what went wrong."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # threads cost more than they give on tensors this small
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    wanted = json.load(sys.stdin)
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if wanted["distributed"]:
            store = torch.distributed.FileStore(str(folder / "store"), 1)
            torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
        for identifier, code in wanted["code"].items():
            problem = run(code, folder, identifier in wanted["distributed"])
            if problem is not None:
                found[identifier] = problem
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
