"""Overrides in a real child of a boot folder: what has to be there before torch is, and what workers keep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from trainbottleneck.collect.boot import make
from trainbottleneck.store.trace import read_process

SCRIPT = """
import json, os, sys
import torch
from torch.utils.data import DataLoader

class Threads(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return torch.get_num_threads()

if __name__ == "__main__":
    found = {"env": os.environ.get("OMP_NUM_THREADS"), "first": torch.get_num_threads()}
    torch.set_num_threads(1)  # line 15
    found["later"] = torch.get_num_threads()
    torch.set_num_interop_threads(4)
    found["inter"] = torch.get_num_interop_threads()
    found["worker"] = int(next(iter(DataLoader(Threads(), num_workers=1))))
    found["cores"] = sorted(os.sched_getaffinity(0))
    print(json.dumps(found))
"""
CHANGES = {"threads": {"intra": 2, "inter": 3}, "affinity": {"cores": 1}, "dynamo": {"disable": 1}}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_threads_and_cores_are_set_before_torch_is_and_kept_afterwards(tmp_path: Path) -> None:
    usable = sorted(os.sched_getaffinity(0))
    changes = [{"override": name, "settings": settings} for name, settings in CHANGES.items()]
    boot = make(tmp_path, False, {"overrides": changes})
    (tmp_path / "train.py").write_text(SCRIPT, encoding="utf-8")
    environment = dict(os.environ, PYTHONPATH=str(boot), OMP_NUM_THREADS="1", TORCHDYNAMO_DISABLE="1")
    environment.pop("LOCAL_RANK", None)
    environment.pop("MKL_NUM_THREADS", None)
    command = [sys.executable, str(tmp_path / "train.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["env"], found["first"], found["later"], found["inter"]) == ("2", 2, 2, 3)
    assert found["worker"] == 1 and found["cores"] == usable[:1]
    told = _told(tmp_path)
    assert ("threads", "applied", "OMP_NUM_THREADS 1 -> 2", 0) in told
    assert ("threads", "applied", "set_num_threads(1) -> 2", 15) in told
    assert ("threads", "applied", "set_num_interop_threads(4) -> 3", 17) in told
    assert ("dynamo", "refused", "TORCHDYNAMO_DISABLE is set already", 0) in told
    cores = [one for one in told if one[0] == "affinity"]
    assert len(cores) == (len(usable) > 1) and not (tmp_path / "agent-errors.log").exists()


def _told(run: Path) -> set[tuple[str, str, str, int]]:
    """Return (name, state, detail, line) of every event of an override in the files of a run."""
    processes = [read_process(path.parent) for path in run.rglob("trace.bin")]
    events = [event.data for one in processes if one for event in one.events if event.kind == "override"]
    return {(one["name"], one["state"], one["detail"], one["line"]) for one in events}
