"""Makes a training's update again, on parameters of the same shapes, as it was set and fused, grouped, in float32."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from typing import Any

from .stage import Stage

_ROUNDS = 15
_LEAST_ROUNDS = 3
_MOST_ELEMENTS = 24 << 20  # of an optimizer: 100 MB each of weights, gradients and two states in float32

WAYS: Mapping[str, Mapping[str, Any]] = {
    "captured": {},
    "fused": {"fused": True, "foreach": None},
    "foreach": {"foreach": True, "fused": None},
    "float32": {},
}

Told = dict[str, Any]


def replay(stage: Stage, told: Told) -> Told:
    """Return ``times`` (ns of an update in each round, by way), ``problems``, ``part`` of the elements replayed."""
    groups, part = _kept(told["groups"])
    found: Told = {"name": told["name"], "part": part, "times": {}, "problems": {}}
    tensors = [_parameters(stage, group["shapes"], single=False) for group in groups]
    ready: dict[str, Any] = {}
    for way in WAYS:
        try:
            optimizer = _ready(stage, told["name"], groups, tensors, way)
            if optimizer is not None:
                stage.wall_times([optimizer.step])  # makes the states
                ready[way] = optimizer
        except Exception as error:  # such as a setting that this class or dtype does not have
            found["problems"][way] = f"{type(error).__name__}: {error}"[:200]
        if "captured" not in ready:
            return found
    for number in range(_ROUNDS):
        begun = time.perf_counter()
        for way, optimizer in ready.items():
            found["times"].setdefault(way, []).append(stage.wall_times([optimizer.step])[0])
        if time.perf_counter() - begun > stage.remaining() and number + 1 >= _LEAST_ROUNDS:
            break
    return found


def _kept(groups: list[Told]) -> tuple[list[Told], float]:
    """Return groups with as many parameters of each shape as memory allows, and which part of the elements they are."""
    whole = sum(_elements(shape) * count for group in groups for shape, _, count in group["shapes"])
    share = min(1.0, _MOST_ELEMENTS / max(1, whole))
    if share == 1.0:
        return groups, 1.0
    kept = [
        {**group, "shapes": [[shape, dtype, round(count * share)] for shape, dtype, count in group["shapes"]]}
        for group in groups
    ]
    left = sum(_elements(shape) * count for group in kept for shape, _, count in group["shapes"])
    return kept, left / whole


def _elements(shape: list[int]) -> int:
    """Return how many elements a shape has."""
    count = 1
    for length in shape:
        count *= length
    return count


def _ready(stage: Stage, name: str, groups: list[Told], tensors: list[list[Any]], way: str) -> Any:
    """Return an optimizer that updates this way; None where that is no change, or nothing is left of the groups."""
    double = any(dtype == "float64" for group in groups for _, dtype, _ in group["shapes"])
    as_was = all(_says(group["settings"], WAYS[way]) for group in groups)
    if way != "captured" and (not double if way == "float32" else as_was):
        return None
    kind = getattr(stage.torch.optim, name)
    known = inspect.signature(kind).parameters
    if any(value and key not in known for key, value in WAYS[way].items()) or not any(tensors):
        return None
    if way == "float32":
        tensors = [_parameters(stage, group["shapes"], single=True) for group in groups]
    made = []
    for group, parameters in zip(groups, tensors):  # noqa: B905
        settings = {**group["settings"], **WAYS[way]}
        made.append({key: value for key, value in settings.items() if key in known} | {"params": parameters})
    return kind(made, **{key: value for key, value in made[0].items() if key != "params"})


def _says(settings: Told, wanted: Mapping[str, Any]) -> bool:
    """Return whether what a way asks for was set already."""
    return all(settings.get(key) == value for key, value in wanted.items() if value)


def _parameters(stage: Stage, shapes: list[Any], single: bool) -> list[Any]:
    """Return parameters of these shapes with gradients."""
    torch, found = stage.torch, []
    for shape, dtype, count in shapes:
        kind = torch.float32 if single and dtype == "float64" else getattr(torch, dtype)
        for _ in range(count):
            tensor = torch.empty(shape, dtype=kind, device=stage.device).uniform_(0.5, 1.5)
            tensor.requires_grad_()
            tensor.grad = torch.full_like(tensor, 1e-3)
            found.append(tensor)
    return found
