"""FLOPs of operators that torch's own counter does not know, against the products they are made of."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402
from trainbottleneck.agent.formulas import flop_formulas, traffic  # noqa: E402

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


def thin(layout: Any = torch.sparse_coo, rows: int = N, columns: int = N) -> Any:
    """Return a sparse matrix that stores 5 numbers."""
    full = torch.zeros(rows, columns)
    full.view(-1)[torch.arange(5) * 3] = 1.0
    return full.to_sparse(layout=layout) if layout is not torch.sparse_bsr else full.to_sparse_bsr((1, 1))


@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr])
def test_a_sparse_product_counts_what_is_stored(layout: Any) -> None:
    wide, tall, added = torch.ones(N, 7), torch.ones(7, N), torch.ones(N, 7)
    assert flops("mm", thin(layout), wide) == flops("_sparse_addmm", added, thin(layout), wide) == 2 * 5 * 7
    assert flops("mm", tall, thin(layout)) == 2 * 5 * 7
    assert flops("mv", thin(layout), torch.ones(N)) == 2 * 5
    assert flops("mm", thin(layout), thin(layout)) == 0
    assert flops("mm", torch.ones(N, N), wide) == 2 * N * N * 7


def test_bytes_of_a_sparse_tensor_are_those_it_stores() -> None:
    graph, features, out = thin(), torch.ones(N, 7), torch.empty(N, 7)
    stored = 5 * 4 + 2 * 5 * 8  # float32 values, two int64 indices each
    moved, storages = traffic("mm", [graph, features], [], [out])
    assert moved == stored + 2 * N * 7 * 4 == sum(storages.values())
    assert len(storages) == 3


def test_a_changed_sparse_tensor_is_no_view() -> None:
    moved, _ = traffic("relu", [thin()], [], [thin()])
    assert moved == 2 * (5 * 4 + 2 * 5 * 8)
