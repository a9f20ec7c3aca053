"""Calls of real operators told, made again in another process, and what that says against really changing them."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from trainbottleneck.agent import updates  # noqa: E402
from trainbottleneck.agent.arguments import describe, weight_storages  # noqa: E402
from trainbottleneck.agent.counting import Counting  # noqa: E402
from trainbottleneck.agent.modules import Place  # noqa: E402
from trainbottleneck.collect import replay  # noqa: E402
from trainbottleneck.collect.aside import Aside  # noqa: E402

pytestmark = pytest.mark.timing

STEPS = 3


def step_of(net: nn.Module, optimizer: Any, x: Any) -> Callable[[], None]:
    """Return one step of a training."""

    def step() -> None:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    return step


def window(step: Callable[[], None], optimizer: Any) -> dict[str, Any]:
    """Return what a deep window tells of some steps."""
    inside: list[int] = []
    place = Place(torch, lambda: bool(inside), lambda: False)
    optimizer.register_step_pre_hook(lambda *_: inside.append(1))
    optimizer.register_step_post_hook(lambda *_: inside.clear())
    mode = Counting(torch, place, STEPS, weight_storages(torch, [optimizer]))
    with mode:
        step()
        mode.measure_floor()
        for _ in range(STEPS):
            mode.begin_step()
            step()
            mode.end_step()
    mode.waited.close()
    assert mode.problem == ""
    told = {"counted": mode.found(), "updates": updates.told(torch, [optimizer])}
    return dict(json.loads(json.dumps(told)))


def again(told: dict[str, Any], monkeypatch: pytest.MonkeyPatch, seconds: float = 2.0) -> dict[str, Any]:
    """Return the times of its calls made again by a child."""
    monkeypatch.setattr(replay, "SECONDS", seconds)
    task = replay.plan(told, {})
    return replay._bound(task, replay._made(Aside(Path(sys.executable)), torch.get_num_threads(), task))


def median(row: dict[str, Any], change: str = "captured") -> float:
    """Return the median time of a call in ns."""
    return float(statistics.median(row["times"][change]))


def test_a_call_is_told_without_its_values() -> None:
    net = nn.Linear(3, 2, dtype=torch.float64)
    optimizer = torch.optim.Adam(net.parameters())
    weights = weight_storages(torch, [optimizer])
    x, bias, weight = torch.randn(4, 3, dtype=torch.float64), net.bias.data, net.weight.data.t()
    told = describe(
        torch, torch.ops.aten.addmm.default, (bias, x, weight), {"beta": 1, "alpha": 0.5}, weights
    )
    assert told == {
        "op": "addmm",
        "overload": "default",
        "args": [
            {"t": [2], "s": [1], "d": "float64", "w": 1},
            {"t": [4, 3], "s": [3, 1], "d": "float64"},
            {"t": [3, 2], "s": [1, 3], "d": "float64", "w": 1},
        ],
        "kwargs": {"beta": 1, "alpha": 0.5},
    }


def test_what_json_can_not_hold_is_not_told() -> None:
    x, fill = torch.randn(2), torch.ops.aten.fill.Scalar
    assert describe(torch, fill, (x, float("inf")), {}, frozenset()) is None
    assert describe(torch, torch.ops.aten.add.Tensor, (x.to_sparse(), x), {}, frozenset()) is None
    assert describe(torch, torch.ops.aten._foreach_neg.default, ([x] * 1000,), {}, frozenset()) is None
    assert describe(torch, torch.ops.profiler._record_function_enter, ("x",), {}, frozenset()) is None


def test_an_update_is_told_by_its_shapes_and_plain_settings() -> None:
    parameters = [nn.Parameter(torch.zeros(2, 3)) for _ in range(5)] + [nn.Parameter(torch.zeros(7))]
    (told,) = updates.told(torch, [torch.optim.SGD(parameters, lr=0.1, momentum=0.9)])
    assert told["name"] == "SGD"
    (group,) = told["groups"]
    assert group["shapes"] == [[[2, 3], "float32", 5], [[7], "float32", 1]]
    assert (group["settings"]["momentum"], group["settings"]["fused"]) == (0.9, None)
    tensor_lr = torch.optim.Adam(parameters, lr=torch.tensor(0.1), capturable=True)
    assert updates.told(torch, [tensor_lr]) == []


def test_calls_of_a_convolution_net_are_made_again_in_all_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 20, 3), nn.BatchNorm2d(20), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 20, 3)
    )
    optimizer = torch.optim.AdamW(net.parameters())
    told = window(step_of(net, optimizer, torch.randn(8, 3, 34, 34)), optimizer)
    found = again(told, monkeypatch)
    rows = {(row["op"], row["phase"]): row for row in found["operators"]}
    assert rows
    for (name, _), row in rows.items():
        assert len(row["times"]["captured"]) >= 4, row["problems"]
        if name.startswith("convolution"):
            assert {"bf16", "channels_last", "batch", "aligned"} <= set(row["times"]), row["problems"]
            assert row["problems"] == {}
    for one in found["optimizers"]:
        assert {"captured", "fused", "foreach"} <= set(one["times"])


def test_an_operator_that_can_not_be_called_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Linear(64, 64)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    told = window(step_of(net, optimizer, torch.randn(64, 64)), optimizer)
    numbers = sorted(told["counted"]["arguments"])
    told["counted"]["arguments"][numbers[0]]["op"] = "no_such_operator"
    found = again(told, monkeypatch, seconds=1.0)
    assert any("captured" in row["times"] for row in found["operators"])


def test_a_child_that_fails_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    counted = {"complete": True, "steps": 1, "floor_ns": 0, "threads": 1, "rows": [], "arguments": {"0": {}}}
    (tmp_path / "deep" / "deep-1.json").write_text(json.dumps({"counted": counted}))
    (failure,) = replay.replay(tmp_path, Path(sys.executable))
    assert failure.collector == "replay"
    assert not list((tmp_path / "deep").glob("replay-*"))


@pytest.mark.slow
def test_what_float32_saves_when_called_again_is_what_it_saves_in_the_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def training(dtype: Any) -> tuple[Callable[[], None], Any]:
        net = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512)).to(dtype)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        return step_of(net, optimizer, torch.randn(256, 512, dtype=dtype)), optimizer

    double, optimizer = training(torch.float64)
    single, _ = training(torch.float32)
    found = again(window(double, optimizer), monkeypatch)
    kept = [row for row in found["operators"] if "float32" in row["times"]]
    promised = sum(row["seconds"] * (1 - median(row, "float32") / median(row)) for row in kept)
    assert promised > 0
    gained = []
    for _ in range(15):  # in turn, so that whatever else the machine does befalls both
        begun = time.perf_counter()
        double()
        middle = time.perf_counter()
        single()
        gained.append((middle - begun) - (time.perf_counter() - middle))
    assert 0.5 < promised / statistics.median(gained) < 2


@pytest.mark.slow
def test_a_run_tells_what_float32_saves_unless_experiments_are_left_out(tmp_path: Path) -> None:
    script = Path(__file__).parent / "cases" / "double.py"
    command = [sys.executable, "-m", "trainbottleneck", "diagnose", "--no-stacks", "--steps", "15", "--quiet"]
    subprocess.run(
        [*command, "--experiments-seconds", "1", "-o", str(tmp_path / "run"), str(script)],
        cwd=tmp_path, capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    assert len(list((tmp_path / "run" / "deep").glob("replay-*.json"))) == 1
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    bases = {one["id"]: one["basis"] for one in report["mitigations"]}
    assert bases["float32_parameters"] == "replay"
