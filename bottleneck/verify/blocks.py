"""The blocks of steps of the experiments, as the agent marks them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..model.span import Kind, Spans


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some steps in a row that were timed together.

    Attributes:
        start_ns: Boundary before the first, monotonic.
        end_ns: Boundary after the last.
        removed: The resource was away.
        steps: How many optimizer steps; batches where the loader ran alone.
    """

    start_ns: int
    end_ns: int
    removed: bool
    steps: int

    @property
    def step_s(self) -> float:
        """Return seconds per optimizer step."""
        return (self.end_ns - self.start_ns) / 1e9 / self.steps


def blocks_of(spans: Spans) -> dict[str, list[Block]]:
    """Return the blocks by arm, in the order they were taken."""
    found: dict[str, list[Block]] = {}
    for row in np.flatnonzero((spans.kind == Kind.MARK) & (spans.b > 0)):
        block = Block(
            start_ns=int(spans.start_ns[row]),
            end_ns=int(spans.end_ns[row]),
            removed=bool(spans.a[row]),
            steps=int(spans.b[row]),
        )
        found.setdefault(spans.names[int(spans.name[row])], []).append(block)
    return {arm: sorted(blocks, key=lambda block: block.start_ns) for arm, blocks in found.items()}


_ENOUGH = 4  # pairs: with fewer, t is so large that hardly any interval would mean something


def pair_blocks(blocks: Sequence[Block]) -> list[tuple[Block, Block]]:
    """Return pairs of (as is, without) from blocks in the order they were taken.

    Neighbours make a pair: in A B B A a steady drift adds to one pair what it takes from the other. A block
    without a neighbour of the other kind is left out.
    """
    pairs: list[tuple[Block, Block]] = []
    waiting: Block | None = None
    for block in blocks:
        if waiting is None or waiting.removed == block.removed:
            waiting = block
            continue
        pairs.append((waiting, block) if block.removed else (block, waiting))
        waiting = None
    return pairs


def step_pairs(
    blocks: Sequence[Block], spans: Spans, seconds: Callable[[Block], float], whole: bool
) -> list[tuple[float, float]]:
    """Return pairs of seconds per step (as is, without).

    Args:
        blocks: Of one arm, in the order they were taken.
        spans: The process's, whose optimizer steps lie in the blocks.
        seconds: Gives the mean step in a block.
        whole: Blocks hold whole intervals of what they ask about, and may not be divided. Else few pairs of
            slow steps become twice as many of half the length.
    """
    pairs = pair_blocks(blocks)
    if not whole and len(pairs) < _ENOUGH:
        ends = np.sort(spans.end_ns[spans.kind == Kind.OPTIMIZER])
        pairs = [
            halves for pair in pairs for halves in zip(*(_halves(one, ends) for one in pair), strict=False)
        ]
    return [(seconds(base), seconds(without)) for base, without in pairs]


def _halves(block: Block, ends_ns: npt.NDArray[np.int64]) -> tuple[Block, ...]:
    """Return both halves of a block, or the block itself where its steps can't be told apart."""
    inside = ends_ns[(ends_ns > block.start_ns) & (ends_ns <= block.end_ns)]
    first = block.steps // 2
    if len(inside) != block.steps or first < 1:
        return (block,)
    cut = int(inside[first - 1])
    return (replace(block, end_ns=cut, steps=first), replace(block, start_ns=cut, steps=block.steps - first))
