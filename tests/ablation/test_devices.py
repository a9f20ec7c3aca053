"""Copies to a device and waits for it, on machines that have none: torch's meta device, and a wait that is a sleep."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from trainbottleneck.agent.ablation.arm import Refused, Setting
from trainbottleneck.agent.ablation.resident import Transfer
from trainbottleneck.agent.ablation.waits import Sync
from trainbottleneck.agent.hooks import Hooks

from .runs import in_turn, order, run

pytestmark = pytest.mark.timing

META = """
    copy = torch.Tensor.to
    def slow_copy(tensor, *args, **kwargs):
        if tensor.device.type == "cpu":
            rest(0.005)
        return copy(tensor, *args, **kwargs)
    torch.Tensor.to = slow_copy
    model = nn.Linear(8, 3, device="meta")
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    for x, y in DataLoader(Items(), batch_size=4):
        x, y = x.to("meta"), y.to("meta", non_blocking=True)
        step(x, y)
        rest(0.004)
"""


def test_copies_are_used_again(tmp_path: Path) -> None:
    ran = run(tmp_path, META, in_turn(order("transfer", wash=4)))
    told = ran.ended("transfer")
    assert told["state"] == "done" and told["fingerprint"]["reused"] == 2 * 28, told
    asis, without = (sum(part) / 2 for part in ran.step_ms("transfer"))
    assert abs(asis - without - 10) < 0.15 * asis


@pytest.fixture
def setting() -> Any:
    """Return what an arm needs, its patches undone at the end."""
    hooks = Hooks()
    yield Setting(torch, hooks, SimpleNamespace(), SimpleNamespace(), {}, 1)
    hooks.undo()


class _Waits(Sync):
    """Takes tensors of the CPU for a device's."""

    def is_waited_for(self, tensor: Any) -> bool:
        return True


def _search(values: torch.Tensor) -> int:
    """Read until something is true, as a line search does."""
    for number in range(100):
        if bool(values[number] > 2.5):
            return number
    return -1


def test_a_line_that_waits_is_answered_with_what_it_read_a_step_before(setting: Setting) -> None:
    arm = _Waits(setting)
    arm.start()
    arm.prepare()

    def one_step(loss: float, found: int) -> tuple[float, int, list[float]]:
        values = torch.where(torch.arange(100) >= found, 3.0, 0.0)
        return torch.tensor(loss).item(), _search(values), torch.full((2,), loss).tolist()

    with pytest.raises(Refused):
        arm.remove()
    assert one_step(1.0, 3) == (1.0, 3, [1.0, 1.0])
    arm.after_step(True)
    arm.remove()
    for _ in range(2):
        first = one_step(2.0, 7)
        first[2].append(9.0)  # what the script does to its answer stays its own
        assert first == (1.0, 3, [1.0, 1.0, 9.0])
        arm.after_step(False)
    arm.give_back()
    assert one_step(2.0, 7) == (2.0, 7, [2.0, 2.0])


def test_libraries_read_what_is_true(setting: Setting) -> None:
    arm = _Waits(setting)
    arm.start()
    arm.libraries = (*arm.libraries, __file__)
    arm.prepare()
    assert torch.tensor(1.0).item() == 1.0
    arm.after_step(True)
    with pytest.raises(Refused):
        arm.remove()


def test_copies_that_the_step_changes_are_refused(setting: Setting) -> None:
    arm = Transfer(setting)
    arm.check()
    arm.prepare()
    torch.ones(3).to("meta").add_(1)
    with pytest.raises(Refused, match="in place"):
        arm.remove()
