"""Sparse tensors: the dense tensors they are made of, and what a product with one costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Products that take sparse operands as well as dense ones.
PRODUCTS = ("mm", "addmm", "bmm", "mv", "addmv", "_sparse_addmm")
_BY_ROW = ("torch.sparse_csr", "torch.sparse_bsr")
_BY_COLUMN = ("torch.sparse_csc", "torch.sparse_bsc")


def parts(tensor: Any) -> tuple[Any, ...]:
    """Return the values of a sparse tensor and its indices, nothing where it is dense (or of no known layout)."""
    layout = str(tensor.layout)
    if layout == "torch.sparse_coo":
        return tensor._values(), tensor._indices()
    if layout in _BY_ROW:
        return tensor.values(), tensor.crow_indices(), tensor.col_indices()
    if layout in _BY_COLUMN:
        return tensor.values(), tensor.ccol_indices(), tensor.row_indices()
    return ()


def flops_of_product(dense: Callable[..., int] | None) -> Callable[..., int]:
    """Return the formula of a product that counts stored numbers where an operand is sparse, else ``dense``.

    Each stored number is multiplied once with every row or column of the dense operand, and added: two operations. Of
    a product of two sparse ones the indices would have to be compared: it counts as nothing.
    """

    def formula(*args: Any, **kwargs: Any) -> int:
        left, right = [one for one in args if hasattr(one, "layout")][-2:]
        stored = [parts(one)[:1] for one in (left, right)]
        if all(stored):
            return 0
        if stored[0]:
            return int(2 * stored[0][0].numel() * (right.shape[-1] if right.dim() > 1 else 1))
        if stored[1]:
            return int(2 * stored[1][0].numel() * (left.shape[-2] if left.dim() > 1 else 1))
        return dense(*args, **kwargs) if dense else 0

    return formula
