"""Overrides of the precision a model computes in, by autocast."""

from __future__ import annotations

import torch
from changed import PACKAGE, changed
from torch import nn
from torch.nn import functional
from training import ROWS, Blocks, identity, of_seed, train


def _with_bfloat16(call):
    """Run ``call()`` as on a CPU with instructions for bfloat16."""
    module = __import__(f"{PACKAGE}.overrides.autocast", fromlist=["x"])
    asked, module.lacks_bfloat16 = module.lacks_bfloat16, lambda torch, kind: ""
    try:
        return call()
    finally:
        module.lacks_bfloat16 = asked


def check_autocast_covers_model_and_loss_and_nothing_else() -> None:
    seen: list[tuple[str, bool]] = []

    class Net(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result = super().forward(x)
            seen.append((str(result.dtype), torch.is_autocast_enabled("cpu")))
            return result

    def loss(out: torch.Tensor) -> torch.Tensor:
        seen.append((str(out.dtype), torch.is_autocast_enabled("cpu")))
        return functional.binary_cross_entropy(out.sigmoid(), torch.zeros(4, 1))

    def run() -> None:
        net = Net(8, 1)
        before = identity(net)
        with changed("autocast", bf16=1) as told:
            train(net, ROWS, 2, loss)
            assert not torch.is_autocast_enabled("cpu")
            net.eval()
            net(ROWS)
            assert not torch.is_autocast_enabled("cpu")
        assert identity(net) == before and net.weight.grad.dtype == torch.float32
        assert told["applied"] == ["Net and the loss run under bfloat16 autocast"] and not told["refused"]

    _with_bfloat16(run)
    assert seen == [("torch.bfloat16", True), ("torch.float32", True)] * 2 + [("torch.bfloat16", True)]


def check_autocast_learns_as_a_script_with_autocast_does() -> None:
    def by_hand() -> list[float]:
        net, losses = Blocks(), []
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = (net(ROWS).float() ** 2).mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    def run() -> list[float]:
        with changed("autocast", bf16=1):
            return of_seed(lambda: train(Blocks(), ROWS, 3))

    assert _with_bfloat16(run) == of_seed(by_hand)


def check_autocast_is_refused_where_precision_is_mixed() -> None:
    net = nn.Linear(8, 1)

    def own() -> None:
        with changed("autocast", bf16=1) as told:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                net(ROWS).sum().backward()
            assert not torch.is_autocast_enabled("cpu")
            net(ROWS).sum().backward()
        assert told["refused"] == ["the script runs under autocast already"] and not told["applied"]

    def inner() -> None:
        class Inner(nn.Linear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    return super().forward(x)

        with changed("autocast", bf16=1) as told:
            net = Inner(8, 1)
            for _ in range(2):
                net(ROWS).sum().backward()
        assert told["refused"] == ["the script runs under autocast already"] and not told["applied"]

    def scaler() -> None:
        with changed("autocast", bf16=1) as told:
            torch.amp.GradScaler("cpu")
            net(ROWS).sum().backward()
        assert told["refused"] == ["the script uses a GradScaler, so mixed precision"]

    for call in (own, inner, scaler):
        _with_bfloat16(call)
    with changed("autocast", bf16=0) as told:
        pass
    assert "GradScaler" in told["refused"][0]


def check_autocast_covers_two_models_of_one_loss() -> None:
    def run() -> None:
        first, second = Blocks(), nn.Linear(1, 1)
        with changed("autocast", bf16=1) as told:
            for _ in range(3):
                (second(first(ROWS)) ** 2).mean().backward()
                assert not torch.is_autocast_enabled("cpu")
        assert [text.split()[0] for text in told["applied"]] == ["Blocks", "Linear"] and not told["refused"]

    _with_bfloat16(run)


def check_autocast_ends_in_order_with_contexts_of_others() -> None:
    weights: list[float] = []

    class Net(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            weights.append(super().forward(torch.ones(1, 8)).item() - self.bias.item())
            return super().forward(x)

    def run() -> None:
        net = Net(8, 1)
        with changed("autocast", bf16=1) as told:
            for step in range(3):
                out = net(ROWS).sum()
                with torch.autocast("cpu", enabled=False):
                    out.backward()
                with torch.no_grad():
                    net.weight.fill_(step)
            net(ROWS)  # without a backward pass
            with torch.no_grad():
                net.weight.fill_(5)
            net(ROWS).sum().backward()
            net.eval()
            net(ROWS)
            assert not torch.is_autocast_enabled("cpu")
        assert told["applied"] and not told["refused"]

    _with_bfloat16(run)
    # The cache of autocast holds no weight of before; the last call evaluates.
    assert [round(one) for one in weights[1:]] == [0, 8, 16, 40, 40]


def check_autocast_survives_a_forward_that_fails() -> None:
    class Failing(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise KeyError("of the script")

    def run() -> None:
        net, error = Failing(8, 1), None
        with changed("autocast", bf16=1) as told:
            try:
                net(ROWS)
            except KeyError as raised:
                error = raised
            assert error is not None and error.__context__ is None and not torch.is_autocast_enabled("cpu")
        assert not told["applied"]

    _with_bfloat16(run)
