"""One call of an operator as plain data, and what advice would make of it: another type, layout, width or batch.

A call is what ``agent/arguments.py`` tells, with ``names`` of its arguments, ``phase``, ``device``, ``tf32`` (allowed
in the training) and ``align`` (elements that widths are to be multiples of). A change returns a new call, None where
it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

_LEAST_WIDTH = 8  # dimensions below it are channels of pictures, classes, kernels: they stay
_TILE = 64  # elements of a tile of matrix units, as advised (rules/mitigations/tensor_shape_alignment)
_LITTLE = 1.125  # times the width: more work than that eats what a full tile gains
_MATRICES = ("mm", "addmm", "bmm", "baddbmm")
_CONVOLUTIONS = ("convolution", "convolution_backward")
_ATTENTION = ("_scaled_dot_product_", "_efficient_attention", "_flash_attention")
# What autocast leaves in the type of its inputs, 16 bit behind a product, and what keeps the layout of its inputs.
_FOLLOWERS = frozenset((
    "relu", "relu_", "threshold_backward", "leaky_relu", "leaky_relu_backward", "gelu", "gelu_backward", "silu",
    "silu_backward", "hardtanh", "hardtanh_backward", "tanh", "tanh_backward", "sigmoid", "sigmoid_backward", "add",
    "add_", "mul", "native_dropout", "native_dropout_backward", "max_pool2d_with_indices",
    "max_pool2d_with_indices_backward", "avg_pool2d", "avg_pool2d_backward", "native_batch_norm",
    "native_batch_norm_backward", "cudnn_batch_norm", "cudnn_batch_norm_backward", "_native_batch_norm_legit",
))  # fmt: skip
_NORMS = frozenset(("native_layer_norm", "native_layer_norm_backward", "_softmax", "_softmax_backward_data"))
# What stays in float32 whatever the rest is: statistics and weights of norms, sums of attention.
_WEIGHTS = ("weight", "bias")
_SUMS = ("running_mean", "running_var", "save_mean", "save_invstd", "save_var", "logsumexp")

Call = dict[str, Any]
Tensor = dict[str, Any]
Pictures = frozenset[tuple[int, ...]]


def is_product(name: str) -> bool:
    """Return whether an operator is one that autocast runs in 16 bit."""
    return name in _MATRICES or name in _CONVOLUTIONS or name.startswith(_ATTENTION)


def is_tensor(value: Any) -> bool:
    """Return whether an argument stands for a tensor."""
    return isinstance(value, dict) and "t" in value


def tensors(call: Call) -> list[tuple[str, Tensor]]:
    """Return the tensors of a call with the names of their arguments."""
    found: list[tuple[str, Tensor]] = []

    def keep(name: str, tensor: Tensor) -> Tensor:
        found.append((name, tensor))
        return tensor

    _changed(call, keep)
    return found


def pictures(calls: Sequence[Call]) -> Pictures:
    """Return the shapes that go into convolutions and come back as their gradients."""
    kept = [call for call in calls if call["op"] in _CONVOLUTIONS]
    return frozenset(tuple(t["t"]) for call in kept for _, t in tensors(call) if not t.get("w"))


def _changed(call: Call, change: Callable[[str, Tensor], Tensor]) -> Call:
    """Return a call with ``change(argument, tensor)`` in place of each tensor."""
    names = call["names"]
    args = [
        _each(value, partial(change, names[place] if place < len(names) else ""))
        for place, value in enumerate(call["args"])
    ]
    kwargs = {name: _each(value, partial(change, name)) for name, value in call["kwargs"].items()}
    return {**call, "args": args, "kwargs": kwargs}


def _each(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return ``value`` with every tensor in it changed."""
    if isinstance(value, list):
        return [_each(one, change) for one in value]
    return change(value) if is_tensor(value) else value


def dense(shape: Sequence[int], like: Sequence[int]) -> list[int]:
    """Return strides of ``shape`` without gaps, in the order of the strides ``like``; what is expanded stays so."""
    strides, size = [0] * len(shape), 1
    for axis in sorted(range(len(shape)), key=lambda i: (like[i], -i)):
        if like[axis]:
            strides[axis], size = size, size * max(1, shape[axis])
    return strides


def _resized(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """Return a tensor in another shape, laid out as it was."""
    return {**tensor, "t": list(shape), "s": dense(shape, tensor["s"])}


def in_float32(call: Call, _: Pictures) -> Call | None:
    """Return a call in float32, None where nothing of it is in float64."""
    if all(tensor["d"] != "float64" for _, tensor in tensors(call)):
        return None
    new = _changed(call, lambda _, t: {**t, "d": "float32"} if t["d"] == "float64" else t)
    if new["kwargs"].get("dtype") == {"dtype": "float64"}:
        new["kwargs"] = {**new["kwargs"], "dtype": {"dtype": "float32"}}
    return new


def in_bf16(call: Call, _: Pictures) -> Call | None:
    """Return a call as autocast makes it: in bfloat16, weights cast to it each time (``cast``), gradients of them back.

    ``back`` is the place of such a gradient among the results, -1 for the only one.
    """
    product = is_product(call["op"])
    kinds = {tensor["d"] for _, tensor in tensors(call)} - {"bool", "int64"}
    if kinds != {"float32"} or not (product or call["op"] in _FOLLOWERS):
        return None
    full = _SUMS if product else (*_WEIGHTS, *_SUMS)
    new = _changed(call, lambda name, t: t if name in full or t["d"] != "float32" else {**t, "d": "bfloat16"})
    weighted = any(tensor.get("w") for _, tensor in tensors(call))
    if product and weighted and call["phase"] != "backward":
        return {**new, "cast": True}
    if call["op"] == "convolution_backward":
        return {**new, "back": 1}
    return {**new, "back": -1} if call["op"] == "mm" and call["phase"] == "backward" and not weighted else new


def in_channels_last(call: Call, pictures: Pictures) -> Call | None:
    """Return a call on pictures with the channels innermost, None where it has none that lie otherwise."""
    convolution = call["op"] in _CONVOLUTIONS
    if not convolution and call["op"] not in _FOLLOWERS:
        return None

    def change(_: str, tensor: Tensor) -> Tensor:
        shape = tensor["t"]
        if len(shape) != 4 or not (convolution or tuple(shape) in pictures):
            return tensor
        return {**tensor, "s": dense(shape, (4, 1, 3, 2))}

    new = _changed(call, change)
    return None if _places(new) == _places(call) else new


def _places(call: Call) -> list[list[int]]:
    """Return where the elements of each tensor lie; those of dimensions of one element lie anywhere."""
    return [[s for n, s in zip(t["t"], t["s"]) if n > 1] for _, t in tensors(call)]  # noqa: B905


def batch_axis(call: Call, name: str, tensor: Tensor) -> int | None:
    """Return the dimension of an operand that grows with the batch, None where there is none.

    Of a product of two matrices it is the row of what is multiplied with a weight; the gradient of a weight sums
    over it.
    """
    shape = tensor["t"]
    if tensor.get("w") or not shape:
        return None
    if call["op"] in _FOLLOWERS and len(shape) < max(len(other["t"]) for _, other in tensors(call)):
        return None  # the same for all samples
    if call["op"] not in ("mm", "addmm"):
        return 0 if len(shape) >= 2 and name not in _WEIGHTS else None
    (first, one), (second, other) = [pair for pair in tensors(call) if len(pair[1]["t"]) == 2][-2:]
    if name not in (first, second):  # what is added
        return 0 if len(shape) == 2 and shape[0] == one["t"][0] else None
    if one.get("w") or other.get("w"):
        return 0 if name == first else 1
    return 1 if name == first else 0


def of_twice_the_batch(call: Call, _: Pictures) -> Call | None:
    """Return a call on twice the samples, None where it is not known which dimension they are."""
    if not (is_product(call["op"]) or call["op"] in _FOLLOWERS or call["op"] in _NORMS):
        return None

    def change(name: str, tensor: Tensor) -> Tensor:
        batch = batch_axis(call, name, tensor)
        if batch is None:
            return tensor
        return _resized(tensor, [2 * n if i == batch else n for i, n in enumerate(tensor["t"])])

    new = _changed(call, change)
    return None if new["args"] == call["args"] else new


# Dimensions of a convolution's operands that are widths of layers.
_CHANNELS: Mapping[str, tuple[int, ...]] = {
    "input": (1,),
    "grad_output": (1,),
    "weight": (0, 1),
    "bias": (0,),
}


def aligned(call: Call, _: Pictures) -> Call | None:
    """Return a product whose widths are multiples of 64 or ``align`` elements, None where they are already."""
    convolution = call["op"] in _CONVOLUTIONS
    if not (convolution or call["op"] in _MATRICES) or (convolution and not _is_plain(call)):
        return None

    def change(name: str, tensor: Tensor) -> Tensor:
        axes = _CHANNELS.get(name, ()) if convolution else range(len(tensor["t"]))
        batch = batch_axis(call, name, tensor)
        wide = [i in axes and i != batch and n >= _LEAST_WIDTH for i, n in enumerate(tensor["t"])]
        up = [_rounded(n, call["align"]) if w else n for n, w in zip(tensor["t"], wide)]  # noqa: B905
        return tensor if up == tensor["t"] else _resized(tensor, up)

    new = _changed(call, change)
    if new["args"] == call["args"]:
        return None
    if call["op"] == "convolution_backward" and new["args"][3]:
        new["args"][3] = [new["args"][2]["t"][0]]  # the bias has an element for each channel that comes out
    return new


def _rounded(width: int, least: int) -> int:
    """Return ``width`` rounded up to a multiple of 64 where that adds little, else of ``least``."""
    tile = -(-width // _TILE) * _TILE
    return tile if tile <= width * _LITTLE else -(-width // least) * least


def _is_plain(call: Call) -> bool:
    """Return whether a convolution is neither transposed nor in groups."""
    *_, transposed, _, groups = call["args"][:9] if call["op"] == "convolution" else call["args"][:10]
    return not transposed and groups == 1


def in_tf32(call: Call, _: Pictures) -> Call | None:
    """Return a product of float32 with TF32 allowed, None where that is no change."""
    if call["device"] != "cuda" or call["tf32"] or call["op"] not in _MATRICES:
        return None
    return {**call, "tf32": True} if all(t["d"] == "float32" for _, t in tensors(call)) else None


VARIANTS: Mapping[str, Callable[[Call, Pictures], Call | None]] = {
    "float32": in_float32,
    "bf16": in_bf16,
    "channels_last": in_channels_last,
    "tf32": in_tf32,
    "aligned": aligned,
    "batch": of_twice_the_batch,
}
