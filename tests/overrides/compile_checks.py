"""Overrides that compile; no code is generated but in one check."""

from __future__ import annotations

import contextlib
import copy
import io
import shutil
from collections.abc import Iterator
from typing import Any

import torch
from changed import PACKAGE, Told, changed
from torch import nn
from training import Blocks, Conv, identity, of_seed, train

ROWS = torch.linspace(-1, 1, 4 * 8).view(4, 8)


@contextlib.contextmanager
def eager(name: str, **settings: float) -> Iterator[Told]:
    """Apply an override that compiles with a backend that runs the graph as it is."""
    import torch._dynamo

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    cls: Any = __import__(f"{PACKAGE}.overrides", fromlist=["x"]).find(name)
    cls.backend = "eager"
    try:
        with changed(name, **settings) as told:
            yield told
    finally:
        cls.backend = "inductor"


def frames() -> tuple[int, int]:
    """Return how many frames Dynamo met and how many it compiled."""
    counters = torch._dynamo.utils.counters["frames"]
    return counters["total"], counters["ok"]


def graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def check_the_root_is_compiled_in_place() -> None:
    plain = of_seed(lambda: train(Blocks(), ROWS, 80))
    torch.manual_seed(1)
    net = Blocks()
    before = identity(net)
    with eager("compile") as told:
        losses = train(net, ROWS, 80)  # long enough for the wrapper to move
        assert graphs() == 1 and frames() == (1, 1)
        net.eval()
        net(ROWS)
        twin = copy.deepcopy(net)
        torch.save(net, buffer := io.BytesIO())
    assert identity(net) == before and losses == plain
    assert told["applied"] == ["Blocks compiled"] and not told["refused"]
    assert twin._compiled_call_impl is None and PACKAGE.encode() not in buffer.getvalue()


def check_settings_reach_the_compiler() -> None:
    with eager("compile", dynamic=1) as told:
        net = Blocks()
        for rows in (4, 5, 7, 9):
            train(net, torch.ones(rows, 8), 1)
        assert graphs() == 1
    assert told["applied"] == ["Blocks compiled: shapes dynamic"]
    with eager("compile", reduce_overhead=1) as told:
        train(Blocks(), ROWS, 1)
    assert told["refused"] == ["CUDA graphs need a GPU"]


def check_regional_compiles_the_repeated_block_once() -> None:
    plain = of_seed(lambda: train(Blocks(), ROWS))
    torch.manual_seed(1)
    net = Blocks()
    before = identity(net)
    with eager("compile", regional=1) as told:
        losses = train(net, ROWS)
        assert graphs() == 2 and net._compiled_call_impl is None  # the input of the first needs no gradient
    assert identity(net) == before and losses == plain and told["applied"] == ["3 blocks Block compiled"]
    with eager("compile", regional=1) as told:
        train(nn.Linear(8, 1), ROWS, 1)
    assert told["refused"] == ["the model has no group of equal blocks"]


def check_a_model_of_torch_alone_is_compiled_too() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    plain = train(copy.deepcopy(net), ROWS)
    with eager("compile") as told:
        assert train(net, ROWS) == plain and graphs() == 1
    assert told["applied"] == ["Sequential compiled"]


def check_an_override_around_calls_stays_around_compiled_code() -> None:
    images = torch.linspace(-1, 1, 4 * 3 * 8 * 8).view(4, 3, 8, 8)
    plain = of_seed(lambda: train(Conv(), images))
    with eager("compile") as compiled, changed("channels_last") as last:
        losses = of_seed(lambda: train(Conv(), images))
        assert graphs() == 1
    assert compiled["applied"] and last["applied"]
    assert all(abs(a - b) < 1e-4 * abs(b) for a, b in zip(losses, plain, strict=True))


def check_a_script_that_compiles_is_left_alone() -> None:
    with eager("compile") as told:
        net = torch.compile(Blocks(), backend="eager")
        train(net, ROWS, 2)
        assert graphs() == 1 and next(iter(net.state_dict())).startswith("_orig_mod.")
    assert set(told["refused"]) == {"the script compiles by itself"} and not told["applied"]


def check_settings_change_how_the_script_compiles() -> None:
    with eager("compile", dynamic=1) as told:
        net = Blocks()
        net.compile(backend="eager")
        for rows in (4, 5, 7):
            train(net, torch.ones(rows, 8), 1)
        assert graphs() == 1
    assert told["applied"] == ["torch.compile: shapes dynamic"] and not told["refused"]
    with eager("compile", regional=1) as told:
        net = torch.compile(Blocks(), backend="eager")
        plain = of_seed(lambda: train(copy.deepcopy(net._orig_mod), ROWS, 2))
        keys = list(net.state_dict())
        assert of_seed(lambda: train(net, ROWS, 2)) == plain and graphs() == 2
        torch.save(net, buffer := io.BytesIO())
    assert PACKAGE.encode() not in buffer.getvalue()
    assert told["applied"] == ["torch.compile for blocks only"] and keys[0].startswith("_orig_mod.")


def check_what_others_compile_is_not_the_scripts() -> None:
    with eager("compile") as told, eager("compile_optimizer") as other:
        library: dict[str, Any] = {"torch": torch}
        code = compile("compiled = torch.compile(lambda x: x * 2)", "/x/site-packages/library.py", "exec")
        exec(code, library)
        train(Blocks(), ROWS)
    assert told["applied"] == ["Blocks compiled"] and other["applied"] == ["the step of SGD is compiled"]


def check_a_backend_that_fails_is_taken_back() -> None:
    import torch._dynamo

    def failing(graph: Any, inputs: Any) -> Any:
        torch.rand(3)
        raise ValueError("no kernel for this")

    plain = of_seed(lambda: train(Blocks(), ROWS))
    torch._dynamo.register_backend(name="failing_in_a_test")(failing)
    cls: Any = __import__(f"{PACKAGE}.overrides", fromlist=["x"]).find("compile")
    cls.backend = "failing_in_a_test"
    try:
        with changed("compile") as told:
            net = of_seed(Blocks)
            assert of_seed(lambda: train(Blocks(), ROWS)) == plain
    finally:
        cls.backend = "inductor"
    assert not told["applied"] and "no kernel for this" in told["refused"][0], told.events
    assert net._compiled_call_impl is None


def check_nothing_is_compiled_without_a_compiler() -> None:
    which, shutil.which = shutil.which, lambda name: None
    try:
        with changed("compile") as told:
            train(Blocks(), ROWS, 1)
        with changed("compile_optimizer") as other:
            train(Blocks(), ROWS, 1)
    finally:
        shutil.which = which
    assert told["refused"] == other["refused"] == ["there is no C++ compiler here"]


def check_the_step_of_the_optimizer_is_compiled_behind_hooks_and_schedules() -> None:
    def learn() -> list[float]:
        net, losses, seen = Blocks(), [], []
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
        optimizer.register_step_post_hook(lambda *_: seen.append(1))
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        for _ in range(8):
            optimizer.zero_grad()
            loss = (net(ROWS) ** 2).mean()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        assert len(seen) == 8
        return losses

    plain = of_seed(learn)
    with eager("compile_optimizer") as told:
        losses = of_seed(learn)
        assert 1 <= graphs() <= 2  # once more for a rate that varies
    assert told["applied"] == ["the step of AdamW is compiled"] and not told["refused"]
    assert all(abs(a - b) < 1e-5 * abs(b) for a, b in zip(losses, plain, strict=True))


def check_a_step_with_a_closure_stays_as_it_is() -> None:
    net = Blocks()
    with eager("compile_optimizer") as told:
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = (net(ROWS) ** 2).mean()
            loss.backward()
            return loss

        for _ in range(4):
            assert optimizer.step(closure) is not None
        assert graphs() == 0
    assert told["refused"] == ["the step runs a closure, and with it the model"]


def check_generated_code_learns_the_same_within_rounding() -> None:
    import torch._dynamo

    torch._dynamo.reset()
    if not any(map(shutil.which, ("g++", "clang++"))):
        return
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(8, 1), nn.Tanh())
    plain = train(copy.deepcopy(net), ROWS, 3)
    before = identity(net)
    with changed("compile") as told:
        losses = train(net, ROWS, 3)
    assert told["applied"] == ["Sequential compiled"] and identity(net) == before
    assert all(abs(a - b) < 1e-4 * abs(b) for a, b in zip(losses, plain, strict=True))
