"""Looks for work that no result depends on: positions that are padding in every sample, targets that losses ignore.

The values of two arguments are looked at, on the device where they lie, while operators are counted; nothing of them is
kept but how many there are.
"""

from __future__ import annotations

from typing import Any

_LOSSES = ("nll_loss_forward", "nll_loss2d_forward", "nll_loss_nd")
_MOST = 64  # looks at each: a model with more embeddings or losses is known well enough by then


class Useless:
    """Counts positions and targets over the counted steps."""

    def __init__(self, torch: Any) -> None:
        """Start at nothing."""
        self.torch = torch
        self.positions = self.padding = 0
        self.targets = self.ignored = 0
        self.scores = 0
        self._looks = {"embedding": 0, "loss": 0}

    def look(self, name: str, args: Any) -> None:
        """Look at the arguments of the operator ``name`` where it is one that tells."""
        if name == "embedding" and len(args) > 2 and args[2] >= 0 and self._may("embedding"):
            self._embedding(args[1], args[2])
        elif name in _LOSSES and len(args) > 4 and self._may("loss"):
            self._loss(args[0], args[1], args[4])

    def found(self) -> dict[str, int]:
        """Return all counts; ``scores`` are the elements of the largest tensor that a loss was made of."""
        kept = ("positions", "padding", "targets", "ignored", "scores")
        return {name: getattr(self, name) for name in kept}

    def _may(self, what: str) -> bool:
        """Return whether there may be another look."""
        self._looks[what] += 1
        return self._looks[what] <= _MOST

    def _embedding(self, indices: Any, padding: int) -> None:
        """Count the positions (samples, positions) behind the last one that any sample uses, times samples."""
        if indices.dim() != 2 or not indices.numel():
            return
        used = (indices != padding).any(0).nonzero()
        length = int(used[-1]) + 1 if len(used) else 0
        self.positions += indices.numel()
        self.padding += indices.shape[0] * (indices.shape[1] - length)

    def _loss(self, scores: Any, target: Any, ignore: int) -> None:
        """Count the targets that the loss leaves out."""
        self.targets += target.numel()
        self.ignored += int((target == ignore).sum())
        self.scores = max(self.scores, scores.numel())
