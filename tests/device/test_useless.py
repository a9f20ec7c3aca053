"""Padding and ignored targets: counted by the agent, priced by the analysis."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
from trainbottleneck.agent.useless import Useless  # noqa: E402
from trainbottleneck.analyze import useless  # noqa: E402
from trainbottleneck.analyze.operators import Operator  # noqa: E402
from trainbottleneck.analyze.values import Values  # noqa: E402


def test_positions_that_are_padding_in_every_sample_are_counted() -> None:
    seen, table = Useless(torch), torch.zeros(9, 2)
    seen.look("embedding", (table, torch.tensor([[1, 2, 0, 0], [3, 0, 0, 0]]), 0))
    assert (seen.positions, seen.padding) == (8, 4)
    seen.look("embedding", (table, torch.tensor([[1, 0, 0, 5]]), 0))  # a gap is no padding of the batch
    assert (seen.positions, seen.padding) == (12, 4)
    seen.look("embedding", (table, torch.tensor([[0, 0, 0, 0]]), -1))  # no number stands for padding
    seen.look("embedding", (table, torch.tensor([1, 0]), 0))
    assert (seen.positions, seen.padding) == (12, 4)


def test_ignored_targets_are_counted_with_what_the_loss_was_made_of() -> None:
    seen = Useless(torch)
    scores, targets = torch.zeros(6, 50), torch.tensor([3, -100, -100, 4, -100, -100])
    seen.look("nll_loss_forward", (scores, targets, None, 1, -100))
    assert seen.found() == {"positions": 0, "padding": 0, "targets": 6, "ignored": 4, "scores": 300}


def op(name: str, dims: str, out: float = 0.0) -> tuple[Operator, float]:
    made = Operator(
        phase="forward", name=name, dims=dims, dtype="float32", device="cpu", module="", calls=1, seconds=0.1,
        flops=1.0, bytes=1.0, unique_bytes=1.0, out=out,
    )  # fmt: skip
    return made, 1.0


def test_ignored_targets_cost_their_part_of_what_works_on_scores() -> None:
    step = [op("addmm", "6x8 8x50", 300), op("_log_softmax", "6x50"), op("mm", "6x8 8x8", 48)]
    values = Values()
    useless.analyse({"targets": 6, "ignored": 3, "scores": 300, "positions": 4, "padding": 1}, step, values)
    assert values.number("device.scores_frac") == pytest.approx(0.5 * 0.2)
    assert values.number("device.padding_frac") == pytest.approx(0.25 * 0.3)


def test_damaged_counts_are_left_out() -> None:
    assert useless.read({"targets": -1, "ignored": "many", "scores": True, "padding": 2}) == {"padding": 2}
    assert useless.read(None) is None


def test_a_record_without_counts_is_not_measured() -> None:
    values = Values()
    useless.analyse(None, [], values)
    built = values.build()
    assert "device.padding_frac" not in built.values_by_id
    assert "did not count padding" in built.missing["device.padding_frac"]
