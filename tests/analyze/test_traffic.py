"""Which memory traffic a step could do without."""

from __future__ import annotations

import pytest
from trainbottleneck.analyze.operators import Operator, Roofs
from trainbottleneck.analyze.traffic import attention_frac, avoidable_frac, largest, sizes

ROOFS = Roofs(flops_per_s={"float32": 1e11}, bytes_per_s=1e10, launch_s=1e-6)


def op(
    name: str, dims: str, calls: float = 1, flops: float = 0.0, out: float = 0.0
) -> tuple[Operator, float]:
    """Return an operator that takes a hundredth of the step, limited by memory."""
    made = Operator(
        phase="forward", name=name, dims=dims, dtype="float32", device="cpu", module="", calls=calls,
        seconds=0.01, flops=flops, bytes=0.9e8, unique_bytes=0.9e8, out=out,
    )  # fmt: skip
    return made, 1.0


def test_one_pass_can_do_a_chain() -> None:
    chain = [op(name, "64x1000") for name in ("mul", "add", "exp", "sum")]
    assert avoidable_frac(chain, ROOFS) == pytest.approx(0.03)


def test_activations_behind_products_are_no_chain() -> None:
    products = [op("addmm", "64x1000 1000x1000", flops=1e9, out=64_000) for _ in range(2)]
    assert avoidable_frac([*products, op("relu", "64x1000", calls=2)], ROOFS) == 0.0
    more = [*products, op("relu", "64x1000", calls=2), op("add", "64x1000", calls=2)]
    assert avoidable_frac(more, ROOFS) == pytest.approx(0.01)  # half of the passes


def test_access_by_index_counts_whole() -> None:
    assert avoidable_frac([op("embedding", "50000x64 32")], ROOFS) == pytest.approx(0.01)


def test_weights_used_for_a_small_batch_count_and_layers_of_few_features_do_not() -> None:
    small = [op("addmm", dims, flops=1e3) for dims in ("8x256 256x768", "8x768 768x256", "768x8 8x256")]
    assert avoidable_frac(small, ROOFS) == pytest.approx(0.03)
    thin = [op("mm", dims, flops=1e3) for dims in ("4096x2 2x128", "128x4096 4096x2", "4096x128 128x1")]
    assert avoidable_frac(thin, ROOFS) == 0.0


def test_what_memory_does_not_limit_is_left_out() -> None:
    product, part = op("mm", "64x1000 1000x1000", flops=1e9)
    assert avoidable_frac([(product, part)], ROOFS) == 0.0
    assert avoidable_frac([], ROOFS) == 0.0


def test_passes_over_attention_scores_are_told_from_other_softmaxes() -> None:
    scores = op("bmm", "8x64x16 8x16x64", flops=1e9, out=8 * 64 * 64)
    passes = [op(name, "8x64x64") for name in ("div", "_softmax", "_softmax_backward_data")]
    assert attention_frac([scores, *passes, op("relu", "64x64x1000")]) == pytest.approx(0.03)
    assert (
        attention_frac([op("addmm", "64x16 16x512", flops=1e9, out=64 * 512), op("_softmax", "64x512")])
        == 0.0
    )
    assert attention_frac([scores, op("add", "8x64x64")]) == 0.0


def test_shapes_are_read() -> None:
    assert largest("256x32 32x40000 5") == 32 * 40_000 and largest("") == 1
    assert sizes("256x32 32x400 5") == {256, 32, 400}
