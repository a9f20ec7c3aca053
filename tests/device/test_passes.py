"""Backward through one graph several times: told by the agent on real graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from trainbottleneck.agent.counting import Counting  # noqa: E402
from trainbottleneck.agent.modules import Place  # noqa: E402
from trainbottleneck.agent.passes import Passes  # noqa: E402

X = torch.ones(4, 8)
ONE = 2 * 4 * 8 * 8  # operations of a product


def layer() -> nn.Linear:
    return nn.Linear(8, 8, bias=False)


def flops(work: Callable[[], Any], gathers: bool = True) -> dict[str, int]:
    """Return FLOPs by phase of ``work()``."""
    passes = Passes(torch, lambda: gathers)
    place = Place(torch, lambda: False, lambda: False, is_retained=passes.is_again)
    mode = Counting(torch, place, 1, passes=passes)
    with mode:
        mode.begin_step()
        work()
        mode.end_step()
    mode.waited.close()
    assert not mode.problem and not passes.problem
    found: dict[str, int] = {}
    for key, row in mode.rows.items():
        found[key[0]] = found.get(key[0], 0) + row.flops
    return found


def two_losses(between: Callable[[nn.Linear], Any] = lambda head: None) -> dict[str, int]:
    """Return FLOPs of two passes through a layer above another, with ``between(head of the first)`` in between."""
    below, trunk, first, second = layer(), layer(), layer(), layer()

    def work() -> None:
        shared = trunk(below(X))
        first(shared).sum().backward(retain_graph=True)
        between(first)
        second(shared).sum().backward()

    return flops(work)


def test_the_second_pass_through_what_losses_share_is_found() -> None:
    # Each head needs two products; trunk two and below, whose input wants no gradient, one: those once more.
    assert two_losses() == {"other": 4 * ONE, "backward": 7 * ONE, "retained": 3 * ONE}


def test_one_pass_for_the_sum_repeats_nothing() -> None:
    trunk, first, second = layer(), layer(), layer()
    found = flops(lambda: (first(h := trunk(X)).sum() + second(h).sum()).backward())
    assert not found.get("retained")


@pytest.mark.parametrize(
    "use",
    [
        lambda head: head.weight.grad.norm(),
        lambda head: head.weight.grad.clone(),
        lambda head: nn.utils.clip_grad_norm_(head.parameters(), 1.0),
        lambda head: torch.optim.SGD(head.parameters(), lr=0.0).step(),
        lambda head: torch.optim.SGD(head.parameters()).zero_grad(set_to_none=False),
    ],
    ids=["norm", "kept", "clipped", "applied", "cleared"],
)
def test_gradients_that_are_used_in_between_make_it_a_pass_of_its_own(
    use: Callable[[nn.Linear], Any],
) -> None:
    assert not two_losses(use).get("retained")


def test_other_tensors_may_be_used_in_between() -> None:
    assert two_losses(lambda head: X.sum())["retained"] == 3 * ONE


def test_a_penalty_on_gradients_needs_its_second_pass() -> None:
    judge = nn.Sequential(layer(), nn.Tanh(), layer())
    image = X.clone().requires_grad_()

    def work() -> None:
        (slope,) = torch.autograd.grad(judge(image).sum(), image, create_graph=True)
        slope.square().sum().backward()

    assert not flops(work).get("retained")


def test_gradients_that_are_asked_for_are_wanted_one_by_one() -> None:
    trunk = nn.Sequential(layer(), layer())

    def work() -> None:
        out = trunk(X).sum(0)
        for each in out:
            torch.autograd.grad(each, trunk.parameters(), retain_graph=True)

    assert not flops(work, gathers=False).get("retained")


def test_micro_batches_have_graphs_of_their_own() -> None:
    trunk = nn.Sequential(layer(), layer())

    def work() -> None:
        for _ in range(3):
            trunk(X).sum().backward()

    assert not flops(work).get("retained")


def test_a_graph_that_cannot_be_followed_repeats_nothing() -> None:
    class Strange:
        def _sequence_nr(self) -> int:
            raise RuntimeError("not today")

    passes = Passes(torch, lambda: True)
    with torch.no_grad():
        assert not passes.is_again(Strange()) and not passes.is_again(Strange())
    assert "not today" in passes.problem
