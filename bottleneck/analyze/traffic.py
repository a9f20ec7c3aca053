"""Memory traffic that a step could do without."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from .operators import Operator, Roofs, limit_of, reads_by_index

Scaled = Sequence[
    tuple[Operator, float]
]  # operators, and what a second of them is as a share of the mean step


def avoidable_frac(scaled: Scaled, roofs: Roofs, tf32: bool = False) -> float:
    """Return the share of the step in memory-limited operators whose traffic is not a must.

    - Elementwise operators and reductions in chains: one pass over memory can do a chain, and compilers make it one.
      A chain begins where a product returns a tensor of that size, or once where none does, so of P passes over
      tensors of a size with M products (P - M) / P could go. Two activations behind two products are no chain.
    - Access by index, which touches all rows of a table where a few would do.
    - Products with weights that are used too seldom, since the batch is small; not those thin by their features.
    """
    found, batch = 0.0, _shared_sizes(scaled, roofs, tf32)
    passes: dict[tuple[str, int], list[tuple[Operator, float]]] = defaultdict(list)
    products: dict[tuple[str, int], float] = defaultdict(float)
    for operator, part in scaled:
        if operator.out and operator.calls:
            products[operator.phase, round(operator.out / operator.calls)] += operator.calls
        if limit_of(operator, roofs, tf32) != "bandwidth":
            continue
        if operator.flops:
            found += operator.seconds * part if min(sizes(operator.dims), default=0) in batch else 0.0
        elif reads_by_index(operator):
            found += operator.seconds * part
        else:
            passes[operator.phase, largest(operator.dims)].append((operator, part))
    return found + sum(_chains(own, products[key]) for key, own in passes.items())


def attention_frac(scaled: Scaled) -> float:
    """Return the share of the step in passes over attention scores, which a fused kernel never writes.

    Scores are what a batched product returns and a softmax reads. The products themselves a fused kernel does as well.
    """
    told = [(o, part) for o, part in scaled if o.calls]
    products = {round(o.out / o.calls) for o, _ in told if o.flops and "bmm" in o.name}
    scores = products & {largest(o.dims) for o, _ in told if o.name.startswith(("_softmax", "_safe_softmax"))}
    return sum(o.seconds * part for o, part in told if not o.flops and largest(o.dims) in scores)


def _shared_sizes(scaled: Scaled, roofs: Roofs, tf32: bool) -> frozenset[int]:
    """Return the sizes that all products limited by memory have in common: the batch's is among them, if it is one."""
    thin = [o for o, _ in scaled if o.flops and limit_of(o, roofs, tf32) == "bandwidth"]
    return frozenset.intersection(*(sizes(o.dims) for o in thin)) if thin else frozenset()


def _chains(passes: Scaled, products: float) -> float:
    """Return the share of ``passes`` over tensors of one size that fusing them could save."""
    calls = sum(operator.calls for operator, _ in passes)
    chains = min(calls, max(1.0, products))
    return sum(operator.seconds * part for operator, part in passes) * (1 - chains / calls)


def sizes(dims: str) -> frozenset[int]:
    """Return the sizes of all dimensions of the matrices in ``dims``."""
    return frozenset(int(size) for shape in dims.split() if "x" in shape for size in shape.split("x"))


def numbers_of(dims: str) -> tuple[int, ...]:
    """Return the elements of each tensor in ``dims`` ("256x32 32x40000")."""
    return tuple(math.prod(map(int, shape.split("x"))) for shape in dims.split())


def largest(dims: str) -> int:
    """Return the elements of the largest tensor in ``dims``; 1 without one."""
    return max(numbers_of(dims), default=1)
