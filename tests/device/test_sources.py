"""Each operator is told with the line that calls it, and in backward with the line it is the gradient of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from trainbottleneck.agent.counting import Counting  # noqa: E402
from trainbottleneck.agent.modules import Place  # noqa: E402
from trainbottleneck.analyze.operators import read_operators  # noqa: E402

HERE = Path(__file__).name


def line_of(text: str) -> str:
    """Return "file:line" of the line of this file that ends with ``text``."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (number,) = (n for n, line in enumerate(lines, 1) if line.rstrip().endswith(text))
    return f"{HERE}:{number}"


class Net(nn.Module):
    """Two layers, one of them called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.once, self.twice = nn.Linear(4, 6), nn.Linear(6, 6)

    def forward(self, x: Any) -> Any:
        """Return the sum of all outputs."""
        x = self.once(x)  # the line of once
        x = self.twice(x)
        x = self.twice(x)
        return x.sum()  # the line of the sum


def counted() -> dict[str, Any]:
    """Return what is told of one step."""
    net = Net()
    place = Place(torch, lambda: False, lambda: False)
    mode = Counting(torch, place, 1)
    original = nn.Module.__call__
    nn.Module.__call__ = place.wrap(original)
    try:
        with mode:
            mode.begin_step()
            net(torch.ones(2, 4)).backward()
            mode.end_step()
    finally:
        nn.Module.__call__ = original
    mode.waited.close()
    assert mode.problem == ""
    return mode.found()


def test_operators_have_the_line_that_calls_them() -> None:
    found = {(o.phase, o.name, o.module): o.source for o in read_operators(counted())}
    assert found["forward", "addmm", "Net.once"] == line_of("# the line of once")
    assert found["forward", "sum", "Net"] == line_of("# the line of the sum")
    assert found["backward", "mm", "Net.once"] == line_of("# the line of once")
    assert found["forward", "addmm", "Net.twice"].startswith(HERE)


def test_what_is_called_for_several_lines_has_none_in_backward() -> None:
    told = counted()
    number = next(
        n for n, row in enumerate(told["rows"]) if row[:2] == ["forward", "t"] and row[5] == "Net.twice"
    )
    told["sources"][str(number)] = "other.py:1"
    found = {(o.phase, o.name, o.module): o.source for o in read_operators(told)}
    assert found["backward", "mm", "Net.twice"] == ""


@pytest.mark.parametrize("sources", [None, [], {"0": 3}, {"x": "train.py:1"}])
def test_damaged_sources_are_none(sources: Any) -> None:
    assert {o.source for o in read_operators({**counted(), "sources": sources})} == {""}
