"""A script that pickles its own state saves checkpoints too; what it pickles into memory is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trainbottleneck.analyze.trainer import find_trainers
from trainbottleneck.model.span import Kind

from .measured import diagnose

SCRIPT = """
import io, pickle, torch
from pickle import dump

model = torch.nn.Linear(64, 64)
optimizer = torch.optim.SGD(model.parameters(), 0.01)
for step in range(12):
    model(torch.ones(4, 64)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    pickle.dump([step] * 9, io.BytesIO())
    if step % 4 == 3:
        with open(f"{step}.pkl", "wb", buffering=0) as file:
            dump(model.state_dict(), file)
print(pickle.loads(pickle.dumps(pickle.dump)) is pickle.dump)
"""


@pytest.mark.slow
def test_pickles_into_files_are_checkpoints_and_others_are_not(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"import os; os.chdir({str(tmp_path)!r})\n{SCRIPT}")
    ran = diagnose([str(script)], tmp_path / "out")
    (trainer,) = find_trainers(ran.record.processes)
    saves = trainer.spans.where(trainer.spans.kind == Kind.SAVE)
    assert ran.out == "True\n" and len(saves) == 3
    assert {trainer.spans.names[number] for number in saves.name} == {"pickle.dump"}
    assert np.array_equal(saves.a, [(tmp_path / f"{step}.pkl").stat().st_size for step in (3, 7, 11)])
