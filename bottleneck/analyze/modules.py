"""A model's modules beside each other: parameters, FLOPs, bytes and time, and where these disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .counted import Counted

_SHOWN = 40  # rows of the table; a model of more modules is shown by the largest of them


@dataclass(slots=True)
class _Sums:
    """What the operators of one module add up to."""

    parameters: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0
    forward_s: float = 0.0
    backward_s: float = 0.0
    activations: float = 0.0
    kind: str = ""
    names: list[str] = field(default_factory=list)


def rows(counted: Counted | None) -> list[dict[str, Any]]:
    """Return a row for each module that computes, costliest first; shares are of all modules together.

    ``module``, ``class``, ``parameters``, ``flops``, ``bytes``, ``forward_s``, ``backward_s``, ``activations``
    (elements that products return), and ``flops_share``, ``bytes_share``, ``time_share``. What a module's children
    do counts for them.
    """
    if counted is None:
        return []
    sums: dict[str, _Sums] = {}
    for name, kind, parameters, _ in counted.modules:
        sums[name] = _Sums(parameters=parameters, kind=kind)
    for operator in counted.operators:
        if operator.phase not in ("forward", "backward") or operator.module not in sums:
            continue
        one = sums[operator.module]
        one.flops += operator.flops
        one.bytes += operator.bytes
        if operator.phase == "forward":
            one.forward_s += operator.seconds
            one.activations += operator.out
        else:
            one.backward_s += operator.seconds
    kept = [(name, one) for name, one in sums.items() if one.forward_s + one.backward_s > 0]
    kept.sort(key=lambda item: (-(item[1].forward_s + item[1].backward_s), item[0]))
    return _with_shares(kept)


def _with_shares(kept: Sequence[tuple[str, _Sums]]) -> list[dict[str, Any]]:
    """Return plain rows with each module's share of all."""
    flops = sum(one.flops for _, one in kept) or 1.0
    moved = sum(one.bytes for _, one in kept) or 1.0
    time = sum(one.forward_s + one.backward_s for _, one in kept) or 1.0
    return [
        {
            "module": name,
            "class": one.kind,
            "parameters": one.parameters,
            "flops": one.flops,
            "bytes": one.bytes,
            "forward_s": one.forward_s,
            "backward_s": one.backward_s,
            "activations": one.activations,
            "flops_share": one.flops / flops,
            "bytes_share": one.bytes / moved,
            "time_share": (one.forward_s + one.backward_s) / time,
        }
        for name, one in kept[:_SHOWN]
    ]


def by_class(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the shares of FLOPs, bytes and time by class of module, largest time first."""
    sums: dict[str, dict[str, float]] = {}
    for row in found:
        one = sums.setdefault(row["class"], dict.fromkeys(("flops_share", "bytes_share", "time_share"), 0.0))
        for key in one:
            one[key] += row[key]
    ordered = sorted(sums.items(), key=lambda item: (-item[1]["time_share"], item[0]))
    return [{"class": name, **shares} for name, shares in ordered]
