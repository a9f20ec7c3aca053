"""Floating-point operations and bytes of one operator, from the tensors that went in and came out.

Conventions: a multiply-add is two operations; dimensions of stride 0 hold one element; what only changes the view
moves nothing; reading by index moves the rows that are read, not the table.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

from .sparse import PRODUCTS, flops_of_product, parts

Formula = Callable[..., int]

# Operators that write their first argument without reading it, or fill what they return.
_WRITE_ONLY = frozenset({"copy_", "fill_", "zero_", "normal_", "uniform_", "random_", "bernoulli_"})
# Operators of which the first argument is a table: only the rows that come out are read.
_BY_ROW = frozenset({"embedding", "index_select", "gather", "index", "_embedding_bag", "take"})
# Operators that make a tensor without touching its memory.
_UNTOUCHED = frozenset({"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "set_"})


def flop_formulas(torch: Any) -> dict[Any, Formula]:
    """Return FLOPs by operator: those torch registers, and those it lacks (attention on the CPU, linear).

    Source:
        torch.utils.flop_counter; each formula is called with the operator's arguments and ``out_val``.
    """
    found: dict[Any, Formula] = {}
    try:
        from torch.utils.flop_counter import flop_registry

        found.update(flop_registry)
    except ImportError:
        pass
    aten = torch.ops.aten
    own: dict[str, Formula] = {
        "_scaled_dot_product_flash_attention_for_cpu": _attention,
        "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
        "linear": _linear,
        "mv": _product,
        "dot": _product,
        "_cudnn_rnn": _recurrent,
        "_cudnn_rnn_backward": _recurrent_backward,
        "miopen_rnn": _recurrent,
        "miopen_rnn_backward": _recurrent_backward,
        "mkldnn_rnn_layer": _recurrent_layer,
        "mkldnn_rnn_layer_backward": _recurrent_layer_backward,
        "linalg_cholesky_ex": partial(_factored, 1, 3),
        "cholesky": partial(_factored, 1, 3),
        "cholesky_inverse": partial(_factored, 2, 3),
        "linalg_lu_factor_ex": partial(_factored, 2, 3),
        "linalg_inv_ex": partial(_factored, 2, 1),
        "linalg_solve_triangular": partial(_solved, 1),
        "cholesky_solve": lambda right, factor, *args, **kwargs: _solved(2, factor, right),
        "_linalg_solve_ex": _solve,
        "linalg_qr": _orthogonal,
    }
    for name, formula in own.items():
        packet = getattr(aten, name, None)
        if packet is not None:
            found.setdefault(packet, formula)
    for name in PRODUCTS:
        packet = getattr(aten, name, None)
        if packet is not None:
            found[packet] = flops_of_product(found.get(packet))
    return found


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of softmax(Q K^T) V: two products over all pairs of positions, masked ones included."""
    *batch, length, width = query.shape
    return int(2 * prod(batch) * length * key.shape[-2] * (width + value.shape[-1]))


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of its backward: five products, one of which computes the weights again."""
    *batch, length, width = query.shape
    pairs = prod(batch) * length * key.shape[-2]
    return int(2 * pairs * (3 * width + 2 * value.shape[-1]))


def _linear(x: Any, weight: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of x W^T."""
    return int(2 * x.numel() * weight.shape[0])


def _recurrent(x: Any, weights: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of recurrent layers in one operator: each position passes through every matrix."""
    positions = prod(x.shape[:-1])
    return int(2 * positions * sum(weight.numel() for weight in weights if weight.dim() > 1))


def _recurrent_backward(x: Any, weights: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of their backward: gradients of what went in and of the weights."""
    return 2 * _recurrent(x, weights)


def _recurrent_layer(x: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of one recurrent layer of oneDNN, whose two matrices are the next arguments."""
    return _recurrent(x, args[:2])


def _recurrent_layer_backward(x: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of its backward."""
    return 2 * _recurrent(x, args[:2])


def _factored(times: int, parts: int, matrix: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of a factorisation of square matrices, ``times / parts`` n^3.

    Source:
        Blackford and Dongarra, LAPACK Working Note 41, appendix C: Cholesky n^3/3, its inverse 2n^3/3, LU 2n^3/3,
        inverse 2n^3, leading terms.
    """
    return int(times * matrix.numel() * matrix.shape[-1] // parts)


def _solved(times: int, triangle: Any, right: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of ``times`` triangular solves: n^2 for each right-hand side."""
    return int(times * right.numel() * triangle.shape[-1])


def _solve(matrix: Any, right: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of solving by LU."""
    return _factored(2, 3, matrix) + _solved(2, matrix, right)


def _orthogonal(matrix: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of a QR factorisation of an m x n matrix, Q included: as in LAPACK Working Note 41, twice geqrf."""
    *batch, rows, columns = matrix.shape
    least, most = min(rows, columns), max(rows, columns)
    return int(prod(batch) * 2 * (2 * most * least**2 - 2 * least**3 // 3))


def _product(x: Any, *args: Any, **kwargs: Any) -> int:
    """Return FLOPs of a product with a vector."""
    return int(2 * x.numel())


def size_of(tensor: Any) -> int:
    """Return the bytes of a tensor's distinct elements; of a sparse one those of its values and indices."""
    made_of = parts(tensor)
    if made_of:
        return sum(map(size_of, made_of))
    try:
        lengths = (n for n, stride in zip(tensor.shape, tensor.stride()) if stride != 0)  # noqa: B905
        return int(prod(lengths)) * int(tensor.element_size())
    except (RuntimeError, NotImplementedError):  # of a layout that has no strides
        return int(tensor.numel()) * int(tensor.element_size())


def storage_of(tensor: Any) -> int:
    """Return what tells the memory of one tensor (of a sparse one's values) from another's; 0 where it has none."""
    try:
        return int((parts(tensor) or (tensor,))[0].untyped_storage().data_ptr())
    except (RuntimeError, NotImplementedError):
        return 0


def traffic(
    name: str, given: list[Any], changed: list[Any], returned: list[Any]
) -> tuple[int, dict[int, int]]:
    """Return the bytes of all operands together, and the largest operand of each storage.

    Args:
        name: The operator without namespace and overload.
        given: The tensors among its arguments, in order.
        changed: Those of them it writes into.
        returned: The tensors it returned.
    """
    if name in _UNTOUCHED:
        return 0, {}
    inputs = [(storage_of(tensor), size_of(tensor)) for tensor in given]
    outputs = [(storage_of(tensor), size_of(tensor)) for tensor in changed or returned]
    known = {storage for storage, _ in inputs}
    if not changed and outputs and all(storage in known for storage, _ in outputs):
        return 0, {}  # a view
    written = sum(size for _, size in outputs)
    if name in _WRITE_ONLY and changed:
        inputs = inputs[1:]
    elif name in _BY_ROW and inputs:
        inputs = [(inputs[0][0], min(inputs[0][1], written)), *inputs[1:]]
    largest: dict[int, int] = {}
    for storage, size in (*inputs, *outputs):
        largest[storage] = max(size, largest.get(storage, 0))
    return sum(size for _, size in inputs) + written, largest
