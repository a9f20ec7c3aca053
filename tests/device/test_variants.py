"""What advice makes of one call, told as plain data."""

from __future__ import annotations

from typing import Any

import pytest
from trainbottleneck.agent.replay.variants import (
    aligned,
    batch_axis,
    dense,
    in_bf16,
    in_channels_last,
    in_float32,
    in_tf32,
    of_twice_the_batch,
    pictures,
    tensors,
)

NONE: frozenset[tuple[int, ...]] = frozenset()
NAMES = {
    "mm": ["self", "mat2"],
    "addmm": ["self", "mat1", "mat2"],
    "relu": ["self"],
    "add": ["self", "other"],
    "native_layer_norm": ["input", "normalized_shape", "weight", "bias", "eps"],
    "convolution": [
        "input", "weight", "bias", "stride", "padding", "dilation", "transposed", "output_padding", "groups",
    ],
    "convolution_backward": [
        "grad_output", "input", "weight", "bias_sizes", "stride", "padding", "dilation", "transposed",
        "output_padding", "groups", "output_mask",
    ],
}  # fmt: skip


def tensor(*shape: int, dtype: str = "float32", weight: bool = False) -> dict[str, Any]:
    """Return a contiguous tensor as told."""
    told = {"t": list(shape), "s": dense(shape, [len(shape) - i for i in range(len(shape))]), "d": dtype}
    return {**told, "w": 1} if weight else told


def turned(one: dict[str, Any]) -> dict[str, Any]:
    """Return the transpose of a matrix."""
    return {**one, "t": one["t"][::-1], "s": one["s"][::-1]}


def call(op: str, *args: Any, phase: str = "forward", device: str = "cpu", **kwargs: Any) -> dict[str, Any]:
    """Return a call as told."""
    about = {"names": NAMES[op], "phase": phase, "device": device, "tf32": False, "align": 16}
    return {"op": op, "overload": "default", "args": list(args), "kwargs": kwargs, **about}


def convolution(channels: int = 10, width: int = 20, **more: Any) -> dict[str, Any]:
    """Return a convolution of a batch of four."""
    operands = (
        tensor(4, channels, 8, 8),
        tensor(width, channels, 3, 3, weight=True),
        tensor(width, weight=True),
    )
    return call("convolution", *operands, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, **more)


LINEAR = call("addmm", tensor(30, weight=True), tensor(100, 50), turned(tensor(30, 50, weight=True)))
OF_INPUT = call("mm", tensor(100, 30), tensor(30, 50, weight=True), phase="backward")
OF_WEIGHT = call("mm", turned(tensor(100, 30)), tensor(100, 50), phase="backward")


def shapes(one: dict[str, Any] | None) -> list[list[int]]:
    """Return the shapes of a call's tensors."""
    assert one is not None
    return [each["t"] for _, each in tensors(one)]


def dtypes(one: dict[str, Any] | None) -> list[str]:
    """Return the types of a call's tensors."""
    assert one is not None
    return [each["d"] for _, each in tensors(one)]


@pytest.mark.parametrize(
    ("shape", "like", "strides"),
    [((2, 3), (3, 1), [3, 1]), ((2, 3), (1, 2), [1, 2]), ((4, 3), (0, 1), [0, 1]), ((2, 1, 3), (3, 3, 1), [3, 3, 1])],
)  # fmt: skip
def test_a_new_shape_lies_as_the_old_one_did(
    shape: tuple[int, ...], like: tuple[int, ...], strides: list[int]
) -> None:
    assert dense(shape, like) == strides


def test_only_float64_goes_to_float32() -> None:
    double = call(
        "mm", tensor(2, 2, dtype="float64"), tensor(2, 2, dtype="float64"), dtype={"dtype": "float64"}
    )
    new = in_float32(double, NONE)
    assert dtypes(new) == ["float32", "float32"]
    assert new is not None and new["kwargs"]["dtype"] == {"dtype": "float32"}
    assert in_float32(LINEAR, NONE) is None


def test_autocast_casts_weights_forward_and_their_gradients_back() -> None:
    forward, of_input, of_weight = (in_bf16(one, NONE) for one in (LINEAR, OF_INPUT, OF_WEIGHT))
    assert dtypes(forward) == ["bfloat16"] * 3
    assert forward is not None and forward["cast"] and "back" not in forward
    assert of_input is not None and "cast" not in of_input and "back" not in of_input
    assert of_weight is not None and of_weight["back"] == -1
    assert in_bf16(call("mm", tensor(2, 2, dtype="float64"), tensor(2, 2, dtype="float64")), NONE) is None


def test_autocast_leaves_the_weights_of_norms_and_whole_norms() -> None:
    norm = call("native_layer_norm", tensor(8, 4), [4], tensor(4, weight=True), tensor(4, weight=True), 1e-5)
    assert in_bf16(norm, NONE) is None
    assert dtypes(in_bf16(call("relu", tensor(8, 4)), NONE)) == ["bfloat16"]


def test_a_picture_has_its_channels_innermost_and_other_tensors_stay() -> None:
    one = convolution()
    new = in_channels_last(one, NONE)
    assert new is not None
    assert new["args"][0]["s"] == [640, 1, 80, 10]
    assert in_channels_last(new, NONE) is None
    seen = pictures([one])
    assert seen == {(4, 10, 8, 8)}
    assert in_channels_last(call("relu", tensor(4, 10, 8, 8)), seen) is not None
    assert in_channels_last(call("relu", tensor(4, 12, 8, 8)), seen) is None
    assert in_channels_last(LINEAR, seen) is None


def test_the_batch_is_the_row_of_a_product_and_what_the_gradient_of_a_weight_sums_over() -> None:
    assert shapes(of_twice_the_batch(LINEAR, NONE)) == [[30], [200, 50], [50, 30]]
    assert shapes(of_twice_the_batch(OF_INPUT, NONE)) == [[200, 30], [30, 50]]
    new = of_twice_the_batch(OF_WEIGHT, NONE)
    assert shapes(new) == [[30, 200], [200, 50]]
    assert new is not None and new["args"][0]["s"] == [1, 30]  # still a transpose
    assert shapes(of_twice_the_batch(convolution(), NONE)) == [[8, 10, 8, 8], [20, 10, 3, 3], [20]]
    assert batch_axis(LINEAR, "self", LINEAR["args"][0]) is None
    added = call("add", tensor(100, 5, 50), tensor(5, 50))
    assert shapes(of_twice_the_batch(added, NONE)) == [[200, 5, 50], [5, 50]]


def test_widths_are_rounded_up_and_the_batch_is_not() -> None:
    # 30 to 32 and 50 to 64: 64 would be more than an eighth more, the next multiple of 16 is 64 all the same.
    assert shapes(aligned(LINEAR, NONE)) == [[32], [100, 64], [64, 32]]
    assert shapes(aligned(OF_WEIGHT, NONE)) == [[32, 100], [100, 64]]
    wide = call("mm", tensor(10, 1000), tensor(1000, 60, weight=True))
    assert shapes(aligned(wide, NONE)) == [[10, 1024], [1024, 64]]
    assert aligned(call("mm", tensor(10, 64), tensor(64, 128, weight=True)), NONE) is None


def test_channels_of_pictures_stay_and_those_of_layers_are_rounded() -> None:
    assert shapes(aligned(convolution(channels=3), NONE)) == [[4, 3, 8, 8], [32, 3, 3, 3], [32]]
    gradient = call(
        "convolution_backward", tensor(4, 20, 8, 8), tensor(4, 10, 8, 8), tensor(20, 10, 3, 3, weight=True), [20],
        [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [True, True, True], phase="backward",
    )  # fmt: skip
    new = aligned(gradient, NONE)
    assert new is not None and new["args"][3] == [32]
    assert shapes(new) == [[4, 32, 8, 8], [4, 16, 8, 8], [32, 16, 3, 3]]
    grouped = convolution()
    grouped["args"][8] = 2
    assert aligned(grouped, NONE) is None


def test_tf32_is_for_float32_products_of_a_gpu_that_does_not_use_it() -> None:
    on_gpu = {**LINEAR, "device": "cuda"}
    new = in_tf32(on_gpu, NONE)
    assert new is not None and new["tf32"]
    assert in_tf32({**on_gpu, "tf32": True}, NONE) is None
    assert in_tf32(LINEAR, NONE) is None
