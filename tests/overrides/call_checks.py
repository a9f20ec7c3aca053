"""Overrides that act at calls of torch: checkpoints, attention, evaluation."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import torch
from changed import changed
from torch import nn
from torch.nn import functional
from torch.utils import checkpoint as checkpoints
from training import Blocks, identity, of_seed, train

ROWS = torch.linspace(-1, 1, 4 * 8).view(4, 8)


class Count(nn.Module):
    """A block that counts its calls."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Count.calls += 1
        return self.body(x)


def run_checkpointed(**options: Any) -> tuple[list[float], int, list[torch.Tensor]]:
    """Train with a checkpoint per block; return losses, calls of blocks, and random numbers drawn afterwards."""

    def learn() -> tuple[list[float], int, list[torch.Tensor]]:
        net = Blocks(lambda block, x: checkpoints.checkpoint(block, x, **options))
        net.blocks = nn.ModuleList(Count() for _ in range(3))
        Count.calls = 0
        losses = train(net, ROWS.clone().requires_grad_())
        return losses, Count.calls, [torch.rand(3)]

    return of_seed(learn)


def check_without_checkpoints_losses_and_random_numbers_are_identical() -> None:
    for reentrant in (True, False):
        losses, calls, after = run_checkpointed(use_reentrant=reentrant)
        with changed("checkpointing", off=1) as told:
            direct, direct_calls, direct_after = run_checkpointed(use_reentrant=reentrant)
        assert direct == losses and torch.equal(after[0], direct_after[0])
        assert calls == 2 * direct_calls == 24
        assert set(told["applied"]) == {"the function runs without a checkpoint"}
        assert set(told.lines) == {("call_checks.py", run_checkpointed.__code__.co_firstlineno + 4)}, (
            told.lines
        )


def check_checkpoint_sequential_runs_without_checkpoints() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.Sequential(Count(), Count(), nn.Linear(8, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return checkpoints.checkpoint_sequential(self.parts, 3, x, use_reentrant=False)

    Count.calls = 0
    plain = of_seed(lambda: train(Net(), ROWS))
    calls, Count.calls = Count.calls, 0
    with changed("checkpointing", off=1) as told:
        assert of_seed(lambda: train(Net(), ROWS)) == plain
    assert calls == 2 * Count.calls and told["applied"]


def check_a_reentrant_checkpoint_without_gradients_stays() -> None:
    block = Count()
    with changed("checkpointing", off=1) as told:
        assert not checkpoints.checkpoint(block, ROWS, use_reentrant=True).requires_grad
        context = partial(lambda: (contextlib.nullcontext(), contextlib.nullcontext()))
        checkpoints.checkpoint(block, ROWS, use_reentrant=False, context_fn=context).sum().backward()
    assert not told["applied"]
    assert ["parameters inside get none" in told["refused"][0], "context_fn" in told["refused"][1]] == [
        True,
        True,
    ]


def check_memory_that_does_not_suffice_brings_checkpoints_back() -> None:
    calls = []

    def block(x: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return x * x

    x = ROWS.clone().requires_grad_()
    with changed("checkpointing", off=1) as told:
        checkpoints.checkpoint(block, x, use_reentrant=False).sum().backward()
        assert len(calls) == 3  # failed, forward again, computed again in backward
    assert "the memory does not suffice without it" in told["refused"]


class Attending(nn.Module):
    """Calls the attention function of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.Linear(8, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.inputs(x).view(4, 2, 1, 12).chunk(3, dim=-1)
        return functional.scaled_dot_product_attention(q, k, v)


class Multihead(nn.Module):
    """Calls attention with weights and drops, keeps or reads them."""

    def __init__(self, use: str = "") -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.use = use
        self.kept: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.unsqueeze(0)
        out, weights = self.attention(x, x, x)
        if self.use == "keep":
            self.kept = weights
        return out + weights.mean() if self.use == "read" else out


def check_kernels_of_attention_are_chosen_at_the_first_call() -> None:
    plain = functional.scaled_dot_product_attention
    was = torch.backends.cuda.flash_sdp_enabled()
    try:
        with changed("sdpa", flash=0, efficient=1) as told:
            torch.backends.cuda.enable_flash_sdp(True)
            assert functional.scaled_dot_product_attention is not plain
            train(Attending(), ROWS, 2)
            assert functional.scaled_dot_product_attention is plain
            assert not torch.backends.cuda.flash_sdp_enabled()
        assert told["applied"] == ["attention kernels: flash off"] and not told["refused"]
        assert told.lines == [("call_checks.py", Attending.forward.__code__.co_firstlineno + 2)]
        with changed("sdpa", flash=0) as told:
            train(Attending(), ROWS, 2)
        assert told["refused"] == ["these kernels are allowed or forbidden already"]
    finally:
        torch.backends.cuda.enable_flash_sdp(was)


def check_models_without_attention_and_the_last_kernel_are_refused() -> None:
    with changed("sdpa", flash=1) as told:
        train(Blocks(), ROWS, 2)
    assert told["refused"] == ["the model calls no attention of torch"]
    with changed("sdpa", math=0) as told:
        pass
    assert "math is the kernel that always fits" in told["refused"][0]


def check_attention_weights_that_nobody_reads_are_left_out() -> None:
    plain = of_seed(lambda: train(Multihead(), ROWS, 5))
    torch.manual_seed(1)
    net = Multihead()
    before = identity(net)
    with changed("sdpa", flash=1) as told:
        losses = train(net, ROWS, 5)
        assert net.attention(ROWS, ROWS, ROWS)[1] is None
        net.eval()
        assert net.attention(ROWS, ROWS, ROWS)[1] is not None
    assert identity(net) == before and "attention without weights, which nobody reads" in told["applied"]
    assert all(abs(a - b) < 1e-4 * abs(b) for a, b in zip(losses, plain, strict=True))


def check_attention_weights_that_are_read_or_kept_stay() -> None:
    for use in ("read", "keep"):
        plain = of_seed(lambda use=use: train(Multihead(use), ROWS, 5))
        with changed("sdpa") as told:
            assert of_seed(lambda use=use: train(Multihead(use), ROWS, 5)) == plain
        assert told["refused"] == ["the script reads or keeps the attention weights"]
        assert not told["applied"]


def epochs(net: nn.Module, count: int, evaluate: Any) -> list[Any]:
    """Train and evaluate in turn; return what ``evaluate`` gave."""
    results = []
    for _ in range(count):
        net.train()
        train(net, ROWS, 2)
        net.eval()
        results.append([evaluate(net) for _ in range(3)])
    return results


def check_evaluation_runs_without_gradients_once_it_was_seen_to_need_none() -> None:
    def evaluate(net: nn.Module) -> tuple[bool, float]:
        out = net(ROWS)
        return out.requires_grad, out.detach().sum().item()

    plain = of_seed(lambda: epochs(Blocks(), 3, evaluate))
    with changed("eval_no_grad") as told:
        seen = of_seed(lambda: epochs(Blocks(), 3, evaluate))
    assert [[value for _, value in one] for one in seen] == [[value for _, value in one] for one in plain]
    assert [one[0][0] for one in seen] == [True, False, False]
    assert set(told["applied"]) == {"the evaluation runs without gradients"} and not told["refused"]
    assert set(told.lines) == {("call_checks.py", evaluate.__code__.co_firstlineno + 1)}


def check_eval_mode_that_needs_gradients_keeps_them() -> None:
    def backward(net: nn.Module) -> bool:
        out = net(ROWS)
        out.sum().backward()
        return out.requires_grad

    def saliency(net: nn.Module) -> bool:
        return net(ROWS.clone().requires_grad_()).requires_grad

    for evaluate in (backward, saliency):
        with changed("eval_no_grad") as told:
            assert all(all(one) for one in epochs(Blocks(), 3, evaluate))
        assert not told["applied"]


def check_a_line_that_once_ran_backward_keeps_gradients() -> None:
    calls = []

    def evaluate(net: nn.Module) -> bool:
        out = net(ROWS)
        calls.append(1)
        if len(calls) == 3:  # of the first epoch
            out.sum().backward()
        return out.requires_grad

    with changed("eval_no_grad") as told:
        assert all(all(one) for one in epochs(Blocks(), 4, evaluate))
    assert not told["applied"]
