"""Group D: loader workers of every kind, launchers, and children that are none of our business."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from trainbottleneck.model.span import Kind
from trainbottleneck.store import load

from .runs import alike, diagnose, write

WORKERS = """
    import os, sys
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

    class Data(Dataset):
        def __len__(self):
            return 8
        def __getitem__(self, i):
            return torch.ones(4) * i

    def train(loader, model, optimizer):
        for x in loader:
            optimizer.zero_grad()
            model(x).sum().backward()
            optimizer.step()

    if __name__ == "__main__":
        torch.manual_seed(0)
        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for context in ("spawn", "forkserver"):
            train(DataLoader(Data(), 2, num_workers=1, multiprocessing_context=context), model, optimizer)
        for _ in range(20):  # a hang shows itself sooner or later
            train(DataLoader(Data(), 2, num_workers=2), model, optimizer)
        kept = DataLoader(Data(), 2, num_workers=2, persistent_workers=True, timeout=60)
        for _ in range(3):
            train(kept, model, optimizer)
        print([float(p.sum()).hex() for p in model.parameters()], type(optimizer).__name__)
"""


@pytest.mark.slow
def test_d1_workers_of_every_kind_work_and_are_no_trainers(tmp_path: Path) -> None:
    found = diagnose(["train.py"], write(tmp_path, {"train.py": WORKERS}))
    assert found.code == 0 and "Traceback" not in found.err and found.run is not None
    record = load(found.run)
    trainers = [p for p in record.processes if (p.spans.kind == Kind.OPTIMIZER).any()]
    makers = [p for p in record.processes if (p.spans.kind == Kind.BATCH).any()]
    assert len(trainers) == 1 and trainers[0] not in makers
    assert int((trainers[0].spans.kind == Kind.OPTIMIZER).sum()) == 4 * 25
    told = sum(int((p.spans.kind == Kind.BATCH).sum()) for p in makers)
    # Each batch is told once; persistent workers are terminated at the end, with the 12 batches of their last moment.
    assert 4 * 25 - 12 <= told <= 4 * 25
    assert len(found.report["ranks"]) == 1


RANKS = """
    import os, sys, time
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    dist.init_process_group("gloo")
    model = DistributedDataParallel(nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    total = torch.zeros(1)
    for _ in range(20):
        optimizer.zero_grad()
        model(torch.ones(2, 4)).sum().backward()
        optimizer.step()
        dist.all_reduce(total)
    time.sleep(0.3)  # who is ended loses the last quarter of a second, and torchrun ends both
    optimizer.step()
    if len(sys.argv) > 1 and dist.get_rank() == 1:
        time.sleep(2)
        os._exit(7)
    dist.barrier()
    dist.destroy_process_group()
"""


@pytest.mark.slow
def test_d7_d8_d9_torchrun_writes_one_file_per_rank_and_a_dead_rank_ends_it_as_without_us(
    tmp_path: Path,
) -> None:
    work = write(tmp_path, {"train.py": RANKS})
    launcher = Path(sys.executable).parent / "torchrun"
    if not launcher.exists():
        pytest.skip("no torchrun beside this interpreter")
    words = ["--standalone", "--nproc-per-node", "2", "train.py", "die"]
    found = diagnose(["torchrun", *words], work)  # found beside the interpreter, on PATH or not
    assert found.code == 1, "as torchrun ends without us"
    assert found.run is not None
    record = load(found.run)
    steps = {p.rank: int((p.spans.kind == Kind.OPTIMIZER).sum()) for p in record.processes}
    steps = {rank: count for rank, count in steps.items() if count}  # torchrun itself imports torch as well
    assert steps == {0: 21, 1: 21}
    assert [rank["rank"] for rank in found.report["ranks"]][:1] == [0]
    assert found.report["run"]["status"] == "partial"
    assert "_trainbottleneck_agent" not in found.err


def test_d6_children_that_are_no_python_and_zombies_are_left_alone(tmp_path: Path) -> None:
    script = """
        import subprocess, sys, time
        left = [subprocess.Popen(["true"]) for _ in range(20)]
        shell = subprocess.Popen(["sh", "-c", "sleep 0.8; echo from the shell"])
        other = subprocess.run([sys.executable, "-c", "print('another python')"], capture_output=True, text=True)
        time.sleep(0.8)
        print(other, shell.wait(), [p.wait() for p in left])
    """
    found = alike(tmp_path, {"train.py": script}, ["train.py"])
    assert found.run is not None
    assert not list(found.run.glob("p*/trace.bin")) and not (found.run / "agent-errors.log").exists()
    assert found.report["verdict"]["result"] == "NO_TORCH"
