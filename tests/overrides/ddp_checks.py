"""Overrides of DistributedDataParallel, on two ranks forked from one process."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import torch
from changed import Told, changed
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from training import Conv, identity

RANKS = 2


def _rank(rank: int, folder: str, check: Callable[[int], Any], pipe: Any) -> None:
    """Run ``check`` as one rank."""
    torch.set_num_threads(1)
    try:
        store = torch.distributed.FileStore(f"{folder}/store", RANKS)
        torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
        torch.manual_seed(0)
        result, error = check(rank), ""
        torch.distributed.destroy_process_group()
    except Exception:
        result, error = None, traceback.format_exc()
    pipe.send((result, error))
    pipe.close()
    os._exit(0)


def on_ranks(check: Callable[[int], Any]) -> list[Any]:
    """Return what ``check(rank)`` gives on each rank."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        pipes, children = [], []
        for rank in range(RANKS):
            receive, send = context.Pipe(duplex=False)
            child = context.Process(target=_rank, args=(rank, folder, check, send), daemon=True)
            child.start()
            send.close()
            pipes.append(receive)
            children.append(child)
        found = [pipe.recv() if pipe.poll(60) else (None, "no answer") for pipe in pipes]
        for child in children:
            child.join(5)
    assert [error for _, error in found] == [""] * RANKS, found
    return [result for result, _ in found]


def learn(rank: int, micro: tuple[int, ...] = (1,) * 4, **options: Any) -> tuple[list[torch.Tensor], Any]:
    """Train on this rank's own data, ``micro`` passes per update; return the parameters and the module."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1))
    before = identity(net)
    module = DistributedDataParallel(net, **options)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    torch.manual_seed(rank)
    for passes in micro:
        optimizer.zero_grad()
        for _ in range(passes):
            (module(torch.rand(4, 8)) ** 2).mean().backward()
        optimizer.step()
    assert identity(net) == before
    return [parameter.detach().clone() for parameter in net.parameters()], module


def told_of(told: Told) -> tuple[list[str], list[str]]:
    return sorted(set(told["applied"])), sorted(set(told["refused"]))  # what recurs is told again at the end


def near(one: list[torch.Tensor], other: list[torch.Tensor], tolerance: float = 1e-6) -> bool:
    return all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in zip(one, other, strict=True))


def _constructor(rank: int) -> Any:
    plain, _ = learn(rank, bucket_cap_mb=7)
    with changed("ddp", bucket_cap_mb=50, gradient_as_bucket_view=1, static_graph=1) as told:
        parameters, module = learn(rank, bucket_cap_mb=7)
        assert module.gradient_as_bucket_view and module.static_graph
        assert module.bucket_bytes_cap == 50 * 1024 * 1024
    with changed("ddp", gradient_as_bucket_view=1) as other:
        learn(rank, gradient_as_bucket_view=True)
    return near(plain, parameters), told_of(told), told_of(other)


def check_arguments_of_the_constructor_are_changed() -> None:
    for same, told, other in on_ranks(_constructor):
        assert same and told == (["bucket_cap_mb=50, gradient_as_bucket_view=True, static_graph=True"], [])
        assert other == ([], ["gradient_as_bucket_view is True already"])


def _compressed(rank: int) -> Any:
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

    plain, _ = learn(rank)
    with changed("ddp", fp16_hook=1) as told:
        parameters, module = learn(rank)
        assert len(module._comm_hooks) == 1 and "_call_impl" not in vars(DistributedDataParallel)
    with changed("ddp", bf16_hook=1) as own:
        module = DistributedDataParallel(nn.Linear(8, 1))
        module.register_comm_hook(None, default_hooks.allreduce_hook)
        module(torch.rand(4, 8)).sum().backward()
    with changed("ddp", bf16_hook=1) as brief:
        learn(rank)  # which trains on where DDP refuses the hook, as without NCCL
    assert len(told_of(brief)[0]) + len(told_of(brief)[1]) == 1 and "failed" not in str(brief.events)
    return near(plain, parameters, 1e-2), near(plain, parameters, 1e-9), told_of(told), told_of(own)


def check_gradients_are_exchanged_in_16_bit_unless_the_script_has_a_hook() -> None:
    for close, same, told, own in on_ranks(_compressed):
        assert close and not same and told == (["gradients are exchanged by fp16_compress_hook"], [])
        assert own[0] == [] and "registers a communication hook itself" in own[1][0]


def _accumulated(rank: int) -> Any:
    """Count exchanges with a hook on the process group's own counter: what DDP prepared for backward."""
    micro = (3,) * 5 + (2, 3, 3)
    plain, _ = learn(rank, micro)
    exchanged: list[bool] = []
    original = DistributedDataParallel.forward

    def forward(module: Any, *args: Any) -> Any:
        exchanged.append(module.require_backward_grad_sync)
        return original(module, *args)

    DistributedDataParallel.forward = forward
    try:
        with changed("no_sync") as told:
            parameters, _ = learn(rank, micro)
    finally:
        DistributedDataParallel.forward = original
    return near(plain, parameters), exchanged, told_of(told), [one.tolist() for one in parameters]


def check_gradients_are_exchanged_once_per_update() -> None:
    results = on_ranks(_accumulated)
    assert results[0][3] == results[1][3]  # the ranks stay equal, the short update included
    for same, exchanged, told, _ in results:
        assert same and told[0] == ["gradients are exchanged once in 3 passes"]
        assert told[1] == ["an update came after 2 passes instead of 3"]
        assert exchanged == [True] * 9 + [False, False, True] * 2 + [False] * 2 + [True] * 6


def _irregular(rank: int) -> Any:
    told = []
    for micro in ((1,) * 4, (2, 3, 2, 2)):
        with changed("no_sync") as one:
            plain = DistributedDataParallel.forward.__wrapped__
            learn(rank, (*micro, 1))
            assert DistributedDataParallel.forward is plain  # nothing is left to look at
        told.append(told_of(one))
    with changed("no_sync") as one:
        module = DistributedDataParallel(nn.Linear(8, 1))
        with module.no_sync():
            module(torch.rand(4, 8)).sum().backward()
        assert module.require_backward_grad_sync
    return [*told, told_of(one)]


def check_other_ways_to_accumulate_are_left_alone() -> None:
    for told in on_ranks(_irregular):
        assert [one[0] for one in told] == [[], [], []]
        assert "one backward pass per update" in told[0][1][0] and "varies: 2, 3, 2" in told[1][1][0]
        assert told[2][1] == ["the script leaves exchanges out by itself"]


def _images(rank: int) -> Any:
    images = torch.linspace(-1, 1, 4 * 3 * 8 * 8).view(4, 3, 8, 8)
    found = []
    for name, kind in (("channels_last", torch.float32), ("float32", torch.float64)):
        with changed(name) as told:
            torch.manual_seed(0)
            net = Conv().to(kind)
            before = identity(net)
            module = DistributedDataParallel(net)
            for _ in range(2):
                loss = (module(images.to(kind)) ** 2).mean()
                loss.backward()
            assert identity(net) == before
        weight = net.body[0].weight
        found.append((told_of(told), weight.dtype, weight.is_contiguous(memory_format=torch.channels_last)))
    return found


def check_models_are_converted_before_they_are_wrapped() -> None:
    for last, narrow in on_ranks(_images):
        assert last[0][1] == narrow[0][1] == [] and last[2] and narrow[1] == torch.float32
        assert last[0][0] and narrow[0][0]
