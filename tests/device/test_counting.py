"""What the counting mode sees of real operators: FLOPs, bytes, modules; and that it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from trainbottleneck.agent.counting import Counting  # noqa: E402
from trainbottleneck.agent.modules import Place  # noqa: E402

PHASES = ("forward", "again", "backward")


def count(work: Callable[[], Any], model: nn.Module | None = None) -> Counting:
    """Return the mode after ``work()`` ran under it once."""
    place = Place(torch, lambda: False, lambda: False)
    mode = Counting(torch, place, 1)
    original = nn.Module.__call__
    nn.Module.__call__ = place.wrap(original)  # type: ignore[method-assign]
    try:
        with mode:
            mode.begin_step()
            work()
            mode.end_step()
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]
        mode.waited.close()
    assert mode.problem == ""
    return mode


def total(mode: Counting, what: str, name: str | None = None) -> int:
    """Return the sum of one attribute over the rows of one operator, or of all."""
    return sum(getattr(row, what) for key, row in mode.rows.items() if name in (None, key[1]))


def test_a_linear_layer_costs_two_flops_for_each_multiply_add_forward_and_twice_that_backward() -> None:
    layer, x = nn.Linear(16, 32), torch.randn(8, 16, requires_grad=True)
    assert total(count(lambda: layer(x).sum().backward()), "flops") == 3 * 2 * 8 * 16 * 32


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_backward_does_a_second_time_is_told_from_backward(reentrant: bool) -> None:
    from torch.utils.checkpoint import checkpoint

    block, x = nn.Sequential(nn.Linear(16, 32), nn.ReLU()), torch.randn(8, 16, requires_grad=True)
    mode = count(lambda: checkpoint(block, x, use_reentrant=reentrant).sum().backward())
    flops = {phase: sum(row.flops for key, row in mode.rows.items() if key[0] == phase) for phase in PHASES}
    once = 2 * 8 * 16 * 32
    assert flops == {"forward": once, "again": once, "backward": 2 * once}
    assert {key[5] for key, row in mode.rows.items() if key[0] == "backward" and row.flops} == {
        "Sequential.0"
    }


def test_a_gradient_taken_inside_a_module_is_backward() -> None:
    class Penalised(nn.Linear):
        def forward(self, x: Any) -> Any:
            y = super().forward(x).tanh()
            return torch.autograd.grad(y.sum(), x, create_graph=True)[0].square().sum()

    layer, x = Penalised(16, 32), torch.randn(8, 16, requires_grad=True)
    assert {key[0] for key in count(lambda: layer(x).backward()).rows} <= {"forward", "backward", "other"}


def test_attention_on_the_cpu_is_counted() -> None:
    q, k, v = (torch.randn(2, 4, 64, 16, requires_grad=True) for _ in range(3))
    pairs = 2 * 4 * 64 * 64 * 16
    forward = count(lambda: F.scaled_dot_product_attention(q, k, v))
    assert total(forward, "flops") == 2 * 2 * pairs
    both = count(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward())
    assert total(both, "flops") == 2 * 7 * pairs


def test_flops_of_a_convolutional_net_are_twice_the_multiply_adds_that_fvcore_counts() -> None:
    fvcore = pytest.importorskip("fvcore.nn")
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2), nn.Flatten(), nn.Linear(144, 5)
    )
    x = torch.randn(2, 3, 16, 16)
    theirs = fvcore.FlopCountAnalysis(net, x)
    theirs.unsupported_ops_warnings(False)
    expected = {name: 2 * int(flops) for name, flops in theirs.by_module().items() if name and flops}
    mode = count(lambda: net(x))
    found: dict[str, int] = {}
    for key, row in mode.rows.items():
        if row.flops:
            name = key[5].removeprefix("Sequential.")
            found[name] = found.get(name, 0) + row.flops
    assert found == expected
    activations = fvcore.ActivationCountAnalysis(net, x)
    activations.unsupported_ops_warnings(False)
    assert total(mode, "out") == activations.total()


@pytest.mark.parametrize(
    ("work", "size", "unique"),
    [
        (lambda x: x + x, 3 * 4000, 2 * 4000),  # both operands are the same memory
        (lambda x: x + 1, 2 * 4000, 2 * 4000),
        (lambda x: x.add_(1), 2 * 4000, 4000),  # read and written
        (lambda x: x.fill_(1), 4000, 4000),
        (lambda x: x.view(10, 100).t(), 0, 0),
        (lambda x: x.detach()[3:], 0, 0),
        (lambda x: torch.empty_like(x), 0, 0),
        (lambda x: x + x[:1].expand(1000), 2 * 4000 + 4, 2 * 4000),  # stride 0: one element
        (lambda x: torch._foreach_add_([x], 1.0), 2 * 4000, 4000),
    ],
)
def test_bytes_of_an_operator(work: Callable[[Any], Any], size: int, unique: int) -> None:
    x = torch.randn(1000)
    mode = count(lambda: work(x))
    assert (total(mode, "bytes"), total(mode, "unique")) == (size, unique)


def test_a_lookup_reads_the_rows_and_not_the_table() -> None:
    table, wanted = nn.Embedding(100_000, 8), torch.tensor([1, 5, 5])
    assert total(count(lambda: table(wanted)), "bytes") == 2 * 3 * 8 * 4 + 3 * 8


def test_backward_belongs_to_the_module_whose_forward_it_is() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.LayerNorm(8))
    mode = count(lambda: net(torch.randn(4, 8)).sum().backward())
    places = {(key[0], key[1], key[5]) for key in mode.rows}
    assert ("forward", "addmm", "Sequential.0") in places
    assert ("backward", "mm", "Sequential.0") in places
    assert ("backward", "tanh_backward", "Sequential.1") in places
    assert ("backward", "native_layer_norm_backward", "Sequential.2") in places
    assert mode.place.parameters == {
        "Sequential": 0,
        "Sequential.0": 72,
        "Sequential.1": 0,
        "Sequential.2": 16,
    }


def test_results_and_random_numbers_are_the_same_to_the_last_bit() -> None:
    def work() -> list[Any]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(64, 64), nn.Dropout(), nn.GELU(), nn.Linear(64, 64))
        optimizer = torch.optim.Adam(net.parameters())
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = net(torch.randn(16, 64)).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    found: list[Any] = []
    count(lambda: found.extend(work()))
    assert found == work()


def test_rows_and_calls_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainbottleneck.agent import counting

    monkeypatch.setattr(counting, "_MAX_ROWS", 5)
    x = torch.randn(100)
    mode = count(lambda: [x[:n] + 1 for n in range(1, 50)])
    assert len(mode.rows) <= 7
    assert total(mode, "calls") == mode.calls_of_step
    monkeypatch.setattr(counting, "_MAX_CALLS", 10)
    assert not count(lambda: [x + 1 for _ in range(50)]).found()["complete"]


def test_forward_and_backward_in_a_closure_of_the_optimizer_are_told_apart_from_the_update() -> None:
    place = Place(torch, lambda: True, lambda: False)
    assert place.here() == ("optimizer", "")
    net = nn.Linear(4, 4)
    mode = Counting(torch, place, 1)
    call = place.wrap(nn.Module.__call__)
    with mode:
        mode.begin_step()
        call(net, torch.randn(2, 4)).sum().backward()
        with torch.no_grad():
            net.weight.sub_(net.weight.grad)
        mode.end_step()
    mode.waited.close()
    phases = {key[1]: key[0] for key in mode.rows}
    assert (phases["addmm"], phases["mm"], phases["sub_"]) == ("forward", "backward", "optimizer")
