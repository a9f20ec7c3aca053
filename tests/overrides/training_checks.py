"""Checks of the overrides of optimizers, gradients, memory and cadence, run by ``child``."""

from __future__ import annotations

import gc
import os
import resource
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import torch
from changed import changed
from torch.utils.data import DataLoader, TensorDataset


def steps(make: Any, count: int = 6) -> tuple[list[float], Any, Any]:
    """Return the losses of a small training from a fixed seed on, its optimizer and its model."""
    torch.manual_seed(5)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    optimizer = make(model)
    losses = []
    for _ in range(count):
        loss = model(torch.randn(16, 4)).square().mean()
        optimizer.zero_grad(set_to_none=False)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, optimizer, model


def adam(model: Any, **arguments: Any) -> Any:
    """Return an optimizer that is given an iterator."""
    return torch.optim.AdamW(model.parameters(), lr=0.01, **arguments)


def close(one: list[float], other: list[float]) -> bool:
    """Return whether two series of losses differ by rounding only: a few units of float32 a step."""
    return all(abs(a - b) <= 1e-5 * abs(a) for a, b in zip(one, other, strict=True))


def shape_of(state: Any) -> Any:
    """Return the keys of a state_dict of an optimizer."""
    return {n: sorted(s) for n, s in state["state"].items()}, [sorted(g) for g in state["param_groups"]]


def check_a_fused_optimizer_gives_the_same_losses_and_keys() -> None:
    plain, before, _ = steps(adam)
    for name in ("fused", "foreach"):
        with changed("optimizer", **{name: 1}) as told:
            losses, optimizer, model = steps(adam)
        assert close(plain, losses)
        assert optimizer.param_groups[0][name] is True
        assert shape_of(optimizer.state_dict()) == shape_of(before.state_dict())
        assert all(
            a is b for a, b in zip(optimizer.param_groups[0]["params"], model.parameters(), strict=True)
        )
        assert told["applied"] == [f"AdamW: {name} None -> True"] and not told["refused"]
        assert told.lines == [("training_checks.py", adam.__code__.co_firstlineno + 2)]


def check_an_implementation_the_script_chose_is_replaced() -> None:
    with changed("optimizer", fused=1) as told:
        assert adam(torch.nn.Linear(2, 2), fused=True).param_groups[0]["fused"] is True
        assert told.events == []
        group = adam(torch.nn.Linear(2, 2), foreach=True).param_groups[0]
    assert group["fused"] is True and group["foreach"] is None
    assert told["applied"] == ["AdamW: fused None -> True, foreach True -> None"]
    with changed("optimizer", foreach=1) as told:
        assert adam(torch.nn.Linear(2, 2), fused=True).param_groups[0]["fused"] is True
    assert told["refused"] == ["the script's optimizer is fused, which is more than foreach"]


def check_a_checkpoint_does_not_bring_the_old_implementation_back() -> None:
    _, plain, _ = steps(adam)
    saved = plain.state_dict()
    with changed("optimizer", fused=1):
        _, optimizer, _ = steps(adam)
        optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["fused"] is True
    assert saved["param_groups"][0]["fused"] is None


def check_optimizers_that_are_not_torchs_own_are_left_alone() -> None:
    class Own(torch.optim.SGD):
        pass

    with changed("optimizer", fused=1) as told:
        assert Own(torch.nn.Linear(2, 2).parameters(), lr=0.1).param_groups[0]["fused"] is None
    assert told.events == []


def check_an_optimizer_that_can_not_be_fused_is_refused() -> None:
    layer = torch.nn.Linear(2, 2)
    with changed("optimizer", fused=1) as told:
        torch.optim.LBFGS(layer.parameters())
        torch.optim.SGD([layer.weight, torch.zeros(2, dtype=torch.int64)], lr=0.1)
        torch.optim.SGD([torch.zeros(2, device="meta")], lr=0.1)
        groups = [{"params": layer.parameters(), "fused": False}]
        made = torch.optim.SGD(groups, lr=0.1)
    assert told["applied"] == [] and made.param_groups[0]["fused"] is False
    assert told["refused"] == [
        "LBFGS has no fused",
        "fused takes floating point parameters only",
        "fused is not there for parameters on meta",
        "a parameter group chooses the implementation itself",
    ]


def check_optimizers_that_lightning_could_not_clip_are_refused() -> None:
    def fit(trainer: Any) -> Any:
        return adam(torch.nn.Linear(2, 2)).param_groups[0]["fused"]

    fit = types.FunctionType(fit.__code__, {**globals(), "__name__": "lightning.pytorch.trainer.call"})
    with changed("optimizer", fused=1) as told:
        assert fit(types.SimpleNamespace(gradient_clip_val=1.0, precision="bf16-mixed")) is None
        assert fit(types.SimpleNamespace(gradient_clip_val=None, precision="bf16-mixed")) is True
        assert fit(types.SimpleNamespace(gradient_clip_val=1.0, precision="32-true")) is True
    assert len(told["refused"]) == 1 and "Lightning does not clip" in told["refused"][0]


def check_what_torch_does_not_take_is_made_as_the_script_wants_it() -> None:
    group = {"params": torch.nn.Linear(2, 2).parameters()}
    with changed("optimizer", foreach=1) as told:
        optimizer = torch.optim.Adam([group], lr=torch.tensor(0.1))  # needs capturable with foreach
    assert optimizer.param_groups[0] is group and group["foreach"] is None
    assert "torch does not take it: ValueError" in told["refused"][0] and told["applied"] == []


def check_a_group_is_as_it_was_where_torch_refuses_late() -> None:
    original = torch.optim.Optimizer.add_param_group

    def add_param_group(optimizer: Any, group: dict[str, Any]) -> None:
        original(optimizer, group)
        if group["fused"]:
            raise RuntimeError("no such kernel")

    group: dict[str, Any] = {"params": torch.nn.Linear(2, 2).parameters()}
    torch.optim.Optimizer.add_param_group = add_param_group  # type: ignore[method-assign]
    try:
        with changed("optimizer", fused=1) as told:
            optimizer = torch.optim.SGD([group], lr=0.1)
    finally:
        torch.optim.Optimizer.add_param_group = original  # type: ignore[method-assign]
    assert optimizer.param_groups[0] is group and group["fused"] is None and len(group["params"]) == 2
    assert told["refused"] == ["torch does not take it: RuntimeError: no such kernel"]


def check_a_mistake_of_the_script_is_raised_as_without_us() -> None:
    errors = []
    for call in (lambda: adam(torch.nn.Linear(2, 2), eps=-1.0), lambda: torch.optim.SGD([], lr=0.1)):
        with changed("optimizer", fused=1) as told:
            errors += [_error(call)]
        errors += [_error(call)]
        assert told["applied"] == []
    assert errors[0] == errors[1] and errors[2] == errors[3] and None not in errors


def _error(call: Any) -> str | None:
    """Return what a call raises."""
    try:
        call()
    except Exception as error:
        return repr(error)
    return None


def check_gradients_are_dropped_with_the_same_losses() -> None:
    def sgd(model: Any) -> Any:
        return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    plain, _, _ = steps(sgd)
    with changed("zero_grad", set_to_none=1) as told:
        losses, optimizer, model = steps(sgd)
        optimizer.zero_grad(set_to_none=False)
        assert all(value.grad is None for value in model.parameters())
    assert losses == plain and set(told["applied"]) == {"zero_grad: set_to_none False -> True"}
    assert {name for name, _ in told.lines} == {"training_checks.py"} and not told["refused"]


def check_gradients_are_not_dropped_where_a_parameter_is_not_used_in_every_step() -> None:
    def run() -> list[float]:
        torch.manual_seed(1)
        often, seldom = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
        never = torch.nn.Linear(2, 1)
        values = [*often.parameters(), *seldom.parameters(), *never.parameters()]
        optimizer = torch.optim.SGD(values, lr=0.1, momentum=0.9)
        losses = []
        for step in range(3):
            optimizer.zero_grad(set_to_none=False)
            loss = often(torch.ones(1, 2)).sum() + (seldom(torch.ones(1, 2)).sum() if step % 2 == 0 else 0)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        optimizer.zero_grad(set_to_none=False)
        assert never.weight.grad is None
        return losses

    run()
    with changed("zero_grad", set_to_none=1) as told:
        run()
    assert len(told["refused"]) == 1 and "skipped by the optimizer" in told["refused"][0]
    assert [one["count"] for one in told.events if one["state"] == "applied"] == [
        1,
        2,
    ]  # none after the refusal


def check_objects_are_frozen_after_the_first_step() -> None:
    with changed("gc", freeze=1) as told:
        assert gc.get_freeze_count() == 0
        steps(adam, 1)
        count = gc.get_freeze_count()
        assert count > 1000
        steps(adam, 1)
        assert gc.get_freeze_count() <= count
    gc.unfreeze()
    assert told["applied"] == ["gc.freeze() after the first optimizer step"]
    gc.disable()
    with changed("gc", freeze=1) as told:
        steps(adam, 1)
    gc.enable()
    assert gc.get_freeze_count() == 0 and "switched the garbage collector off" in told["refused"][0]


def check_the_threshold_of_the_collector_is_kept() -> None:
    before = gc.get_threshold()
    with changed("gc", threshold=50_000) as told:
        assert gc.get_threshold() == (50_000, *before[1:])
        gc.set_threshold(500, 5)
        assert gc.get_threshold()[:2] == (50_000, 5)
        gc.set_threshold(0)
        assert gc.get_threshold()[0] == 0
    gc.set_threshold(*before)
    assert told["applied"] == [f"gc threshold {before[0]} -> 50000", "gc.set_threshold(500) -> 50000"]


def check_compiled_modules_run_eagerly_and_keep_their_names() -> None:
    def backend(*_: Any) -> Any:
        raise AssertionError("something was compiled")

    with changed("dynamo", disable=1) as told:
        if not hasattr(torch.compiler, "set_stance"):
            assert told["refused"]
            return
        compiled = torch.compile(torch.nn.Linear(2, 2), backend=backend)
        line = sys._getframe().f_lineno - 1
        compiled(torch.ones(1, 2))
        other = torch.nn.Linear(2, 2)
        other.compile(backend=backend)
        other(torch.ones(1, 2))
        torch.compiler.set_stance("default")
    assert sorted(compiled.state_dict()) == ["_orig_mod.bias", "_orig_mod.weight"]
    assert told["applied"] == ["torch.compile: runs eagerly"] * 2 and told.lines[0][1] == line


def check_options_of_the_allocator_join_those_of_the_user_and_never_replace_them() -> None:
    os.environ["PYTORCH_CUDA_ALLOC_CONF"] = "max_split_size_mb:128"
    with changed("allocator", expandable_segments=1) as told:
        assert os.environ["PYTORCH_CUDA_ALLOC_CONF"] == "max_split_size_mb:128,expandable_segments:True"
        assert len(told["applied"]) == int(torch.cuda.is_available())
    with changed("allocator", max_split_size_mb=64) as told:
        assert told["refused"] == ["PYTORCH_CUDA_ALLOC_CONF sets max_split_size_mb already"]
    with changed("allocator", max_split_size_mb=128) as told:
        assert told.events == []
    assert os.environ.pop("PYTORCH_CUDA_ALLOC_CONF").startswith("max_split_size_mb:128")


def check_every_third_checkpoint_is_written_and_all_stand_there() -> None:
    with tempfile.TemporaryDirectory() as folder, changed("cadence", checkpoint_every=3) as told:
        for step in range(5):
            torch.save({"step": step}, f"{folder}/model-{step}.pt")
            torch.save({"step": step}, f"{folder}/best.pt")
        found = [torch.load(f"{folder}/model-{step}.pt")["step"] for step in range(5)]
        assert torch.load(f"{folder}/best.pt")["step"] == 3
        line = sys._getframe().f_lineno - 4
    assert found == [0, 0, 0, 3, 3]
    assert set(told["applied"]) == {"checkpoints: one of 3 is written"}
    assert told.events[-1]["count"] == 3 and ("training_checks.py", line) in told.lines


def check_each_tag_of_a_writer_is_logged_every_second_time() -> None:
    written = []

    class SummaryWriter:
        def add_scalar(self, tag: str, value: float) -> None:
            written.append((tag, value))

    module = types.ModuleType("tensorboardX.writer")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    with changed("cadence", log_every=2) as told:
        for step in range(4):
            SummaryWriter().add_scalar("loss", step)
            SummaryWriter().add_scalar(tag="speed", value=step)
    del sys.modules[module.__name__]
    assert written == [("loss", 0), ("speed", 0), ("loss", 2), ("speed", 2)]
    assert set(told["applied"]) == {"SummaryWriter.add_scalar: one of 2 is made"}


def check_every_second_evaluation_ends_after_one_batch() -> None:
    batches = []
    data = TensorDataset(torch.randn(12, 2))
    with changed("cadence", evaluate_every=2) as told:
        training, held_out = DataLoader(data, batch_size=2, shuffle=True), DataLoader(data, batch_size=3)
        layer = torch.nn.Linear(2, 1)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        for _ in range(4):
            for (x,) in training:
                layer(x).sum().backward()
                optimizer.step()
            with torch.no_grad():
                batches.append(sum(1 for (x,) in held_out if layer(x) is not None))
    assert batches == [4, 1, 4, 1] and len(told["applied"]) == 2 and not told["refused"]


def check_a_temporary_folder_of_the_agent_holds_no_failures() -> None:
    log = Path(sys.modules["_trainbottleneck_agent"].CONFIG["run"], "agent-errors.log")
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    assert lines == ["override loader: RuntimeError: not yet"]  # the one that a check provokes


def check_freed_memory_stays_with_the_process_and_the_settings_of_the_user_stay() -> None:
    with changed("host_allocator", keep=1) as told:
        assert len(told["applied"]) == 1
        faults = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.zeros(16 << 20)  # 64 MiB: by default mapped and given back
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        assert faults[-1] < 1000 < 16384  # as many pages as the tensor has, else
    os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"
    with changed("host_allocator", keep=1) as told:
        assert told["refused"] == ["the environment sets MALLOC_MMAP_THRESHOLD_ already"]
    del os.environ["MALLOC_MMAP_THRESHOLD_"]


def check_anomaly_detection_stays_off_and_the_script_reads_what_it_asked_for() -> None:
    plain, _, _ = steps(adam)
    real, seen = torch._C.is_anomaly_enabled, []
    with changed("anomaly", mode=0) as told:
        with torch.autograd.detect_anomaly():
            losses, _, _ = steps(adam)
            seen.append((real(), torch.is_anomaly_enabled()))
        seen.append((real(), torch.is_anomaly_enabled()))
        torch.autograd.set_detect_anomaly(True, check_nan=False)
        seen.append((real(), torch.is_anomaly_check_nan_enabled()))
    assert plain == losses
    assert seen == [(False, True), (False, False), (False, False)]
    assert told["applied"] == ["anomaly detection stays off"] * 2 and not told["refused"]
    assert {name for name, _ in told.lines} == {"training_checks.py"}


def check_anomaly_detection_is_never_switched_on() -> None:
    with changed("anomaly", mode=1) as told:
        assert told["refused"] == ["anomaly: it is only ever switched off"]
