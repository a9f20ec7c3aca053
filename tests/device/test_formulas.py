"""FLOPs of operators that torch's own counter does not know, against the products they are made of."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from trainbottleneck.agent.formulas import flop_formulas  # noqa: E402

N = 12
FORMULAS = flop_formulas(torch)


def flops(name: str, *arguments: Any) -> int:
    return int(FORMULAS[getattr(torch.ops.aten, name)](*arguments, out_val=None))


def square(*batch: int) -> Any:
    return torch.empty(*batch, N, N, device="meta")


def test_factorisations_have_their_leading_terms() -> None:
    assert flops("linalg_cholesky_ex", square(3)) == 3 * N**3 // 3
    assert flops("linalg_lu_factor_ex", square()) == 2 * N**3 // 3
    assert flops("linalg_inv_ex", square()) == 2 * N**3
    assert flops("linalg_qr", square()) == 8 * N**3 // 3


def test_solving_is_a_product_with_half_a_matrix_for_each_triangle() -> None:
    right = torch.empty(3, N, 5, device="meta")
    with FlopCounterMode(display=False) as counter:
        square(3) @ right
    assert flops("linalg_solve_triangular", square(3), right) == counter.get_total_flops() // 2
    assert flops("cholesky_solve", right, square(3)) == counter.get_total_flops()
    assert flops("_linalg_solve_ex", square(3), right) == counter.get_total_flops() + 3 * 2 * N**3 // 3


@pytest.mark.parametrize("name", ["_cudnn_rnn", "miopen_rnn"])
def test_a_recurrent_network_in_one_operator_counts_as_step_by_step(name: str) -> None:
    net = torch.nn.LSTM(7, 11, num_layers=2, bidirectional=True, device="meta")
    x = torch.empty(5, 3, 7, device="meta")
    cells = sum(weight.numel() for weight in net.parameters() if weight.dim() > 1)
    with FlopCounterMode(display=False) as counter:
        net(x)
    expected = 2 * 5 * 3 * cells
    assert flops(name, x, list(net.parameters())) == expected
    assert flops(name + "_backward", x, list(net.parameters())) == 2 * expected
    assert counter.get_total_flops() in (0, expected)  # 0: this build has it as one operator on this device
    one = torch.nn.LSTM(7, 11, device="meta")
    weights = list(one.parameters())
    assert flops("mkldnn_rnn_layer", x, *weights) == 2 * 5 * 3 * (4 * 11 * 7 + 4 * 11 * 11)
